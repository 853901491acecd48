"""A whole worker on real parts: WorkerServer, gRPC links and an engine process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.errors import EngineFailed, LinkClosed, WorkerLost
from protocol.links.link import Link
from protocol.links.tcp import TcpDialer, TcpLinkServer
from protocol.messages import Died, Leaving
from tests.worker.echo_core import LIMITS, WORKER, frame, work
from tests.worker.worker_site import frames_from, hello
from worker.engine_process import ChildCommand, ChildHost
from worker.worker_server import WorkerServer


@dataclass(frozen=True, slots=True)
class RealWorker:
    """A worker and a gateway's link to it."""

    host: ChildHost
    server: WorkerServer
    directory: MemoryDirectory
    link: Link


@pytest.fixture
async def worker() -> AsyncIterator[RealWorker]:
    """A worker that runs, and is stopped afterwards."""
    clock = LoopClock()
    own = hello("worker", WORKER.worker, WORKER.incarnation)
    host = ChildHost(ChildCommand((sys.executable, "-m", "tests.worker.echo_engine", "echo")), clock, LIMITS)
    directory = MemoryDirectory(clock)
    links, dialer = TcpLinkServer(own, clock, LIMITS), TcpDialer(own, clock, LIMITS)
    server = WorkerServer(host, links, dialer, directory, clock, LIMITS, "prefill")
    record = await server.start(30.0)
    link = await TcpDialer(hello("gateway", "g1"), clock, LIMITS).dial(record.address)
    yield RealWorker(host, server, directory, link)
    await link.close()
    await server.stop(1.0)


async def test_frames_reach_the_engine_process_and_return(worker: RealWorker) -> None:
    """A gateway's frames go over gRPC and the socket into the engine, and back in order."""
    sent = [frame(number) for number in range(30)]
    for each in sent:
        worker.link.send(each)
    assert await frames_from(worker.link, 30) == sent
    worker.server.health()


async def test_kill_of_the_engine_closes_every_link_within_a_second(worker: RealWorker) -> None:
    """kill -9 of the engine process: gateways hear of it, links close, the directory is left."""
    worker.link.send(work(10_000))
    await asyncio.sleep(0.2)
    assert worker.host.pid is not None
    os.kill(worker.host.pid, signal.SIGKILL)
    async with LoopClock().deadline(1.0):
        assert await worker.link.receive() == Died(())
        with pytest.raises(LinkClosed):
            await worker.link.receive()
        with pytest.raises(WorkerLost, match="status -9"):
            await worker.server.finished()
    assert await worker.directory.members() == ()
    with pytest.raises(WorkerLost):
        worker.server.health()


async def test_stop_ends_the_engine_process(worker: RealWorker) -> None:
    """After stop the link is closed and the engine process has exited."""
    assert worker.host.pid is not None
    await worker.server.stop(5.0)
    assert await worker.link.receive() == Leaving()
    with pytest.raises(LinkClosed):
        await worker.link.receive()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.host.pid, 0)


async def test_an_engine_process_that_is_stopped_is_found_and_ended(worker: RealWorker) -> None:
    """SIGSTOP in the middle of a step: gateways hear of a death within seconds, and no process is left."""
    worker.link.send(work(600_000))
    await asyncio.sleep(0.2)
    pid = worker.host.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    async with LoopClock().deadline(LIMITS.frozen_s + 5.0):
        assert await frames_from(worker.link, 1) == [Died(())]
        with pytest.raises(EngineFailed, match="frozen"):
            await worker.server.finished()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
