"""The directory as a Ray actor, in a real cluster."""

from __future__ import annotations

import subprocess
import sys
import uuid

import pytest
import ray

from cluster.ray_directory import NAMESPACE, RayDirectory
from protocol.clock import LoopClock
from protocol.errors import WorkerLost
from tests.protocol.directory_conformance import (
    DIRECTORY_PROMISES,
    LONG_S,
    DirectoryPromise,
    DirectoryWorld,
    record,
)

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

DEADLINE_S = 30.0
SHARED = f"directory-{uuid.uuid4()}"
"""One actor for all promises: starting one takes a second."""


@pytest.mark.parametrize("promise", DIRECTORY_PROMISES, ids=lambda p: p.__name__)
async def test_ray_directory(promise: DirectoryPromise) -> None:
    """The Ray directory keeps every promise of the seam, between two handles."""
    worker, gateway = (RayDirectory.open(SHARED, LoopClock(), DEADLINE_S) for _ in range(2))
    for member in await worker.members():
        await worker.leave(member.address.identity)
    await promise(DirectoryWorld(worker, gateway, LoopClock()))


async def test_a_dead_actor_comes_back_empty() -> None:
    """The actor's death loses the records, never the directory: renewals fill it again."""
    directory = RayDirectory.open(SHARED, LoopClock(), DEADLINE_S)
    await directory.join(record("decode-0"), LONG_S)
    ray.kill(ray.get_actor(SHARED, namespace=NAMESPACE), no_restart=False)
    await _until_empty(directory)
    await directory.join(record("decode-0"), LONG_S)
    assert await directory.members() == (record("decode-0"),)


async def test_an_actor_that_is_gone_is_a_typed_error() -> None:
    """When the actor is gone for good every call raises WorkerLost."""
    name = f"directory-{uuid.uuid4()}"
    directory = RayDirectory.open(name, LoopClock(), DEADLINE_S)
    await directory.members()
    ray.kill(ray.get_actor(name, namespace=NAMESPACE))
    with pytest.raises(WorkerLost):
        async with LoopClock().deadline(DEADLINE_S):
            while True:  # a kill takes effect a little later
                await directory.members()
    with pytest.raises(WorkerLost):
        await directory.join(record("decode-0"), LONG_S)


def test_the_actor_needs_no_torch() -> None:
    """The class that the actor runs loads neither torch nor transformers."""
    code = "import sys, cluster.lease_table; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def _until_empty(directory: RayDirectory) -> None:
    clock = LoopClock()
    async with clock.deadline(DEADLINE_S):
        while True:
            try:
                if await directory.members() == ():
                    return
            except WorkerLost:
                await clock.sleep(0.05)
