"""SIGTERM straight to a process of the cluster, on a real Ray worker."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from typing import Any

import pytest

from cluster.ray_private import end_on_sigterm

ENOUGH_S = 30.0


class Replica:
    """An actor as Serve's replicas are: its constructor is a coroutine."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Ray awaits it
        self._told = asyncio.Event()
        loop = asyncio.get_running_loop()
        end_on_sigterm(lambda: loop.call_soon_threadsafe(self._told.set))

    async def pid(self) -> int:
        """Its process."""
        return os.getpid()

    async def told(self) -> int:
        """The process, once SIGTERM has come."""
        async with asyncio.timeout(ENOUGH_S):
            await self._told.wait()
        return os.getpid()


@pytest.mark.ray
def test_sigterm_asks_a_replica_to_end_and_does_not_end_it(ray_cluster: None) -> None:
    """The process hears of it, as often as it is sent, and goes on until it ends by itself."""
    import ray

    actor: Any = ray.remote(num_cpus=0)(Replica)
    replica = actor.remote()
    pid = ray.get(replica.pid.remote(), timeout=ENOUGH_S)
    for _ in range(2):
        os.kill(pid, signal.SIGTERM)
        assert ray.get(replica.told.remote(), timeout=ENOUGH_S) == pid
    ray.kill(replica)


def test_what_is_replaced_is_what_rays_handler_calls() -> None:
    """Nothing else in that module calls it, so nothing else changes."""
    from ray._private import worker

    source = inspect.getsource(worker)
    assert source.count("raise_sys_exit_with_custom_error_message(") == 1
    assert "raise_sys_exit_with_custom_error_message(" in inspect.getsource(worker.Worker.main_loop)
