"""The directory that a spec names."""

from __future__ import annotations

from cluster.ray_directory import RayDirectory
from cluster.redis_directory import RedisDirectory
from cluster.spec import Spec
from gateway.store.redis_connection import RedisConnection
from protocol.clock import LoopClock
from protocol.directory import Directory


def open_directory(spec: Spec) -> Directory:
    """Ray's, or that of a Redis server, where the served name keeps clusters apart."""
    clock, deadline_s = LoopClock(), spec.limits.peer_deadline_s
    if spec.directory == "ray":
        return RayDirectory.open("directory", clock, deadline_s)
    return RedisDirectory(RedisConnection(spec.directory, clock, deadline_s), f"baton:{spec.name}:")
