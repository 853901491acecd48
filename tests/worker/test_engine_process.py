"""ChildHost: the conformance suite over a real process, and every way in which processes die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from protocol.clock import LoopClock
from protocol.errors import DeadlineExceeded, WireError, WorkerLost
from protocol.mail import Inbound, PeerId
from tests.worker.echo_core import LIMITS, frame, work
from tests.worker.echo_engine import GRANDCHILD_S
from tests.worker.engine_host_conformance import (
    CHECKS,
    START_S,
    Check,
    a_core_that_raises_is_dead,
    frames_come_back_in_order,
    stop_finishes_the_step,
    until,
)
from worker.engine_process import ChildCommand, ChildHost

PEER = PeerId(1)


def argv(mode: str) -> tuple[str, ...]:
    """How the echo engine is started."""
    return (sys.executable, "-m", "tests.worker.echo_engine", mode)


def make(mode: str) -> ChildHost:
    """A host of the echo engine."""
    return ChildHost(ChildCommand(argv(mode)), LoopClock(), LIMITS)


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie has)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


async def gone_within(pid: int, seconds: float) -> bool:
    """Whether the process ends in time."""
    until_then = time.monotonic() + seconds
    while not gone(pid) and time.monotonic() < until_then:
        await asyncio.sleep(0.01)
    return gone(pid)


async def forever(host: ChildHost) -> None:
    """Reads until the engine ends."""
    while True:
        await host.receive()


def pid_of(host: ChildHost) -> int:
    """The child's process id."""
    assert host.pid is not None
    return host.pid


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_child_host_conforms(check: Check) -> None:
    """The child host keeps every promise of the seam, and leaves no process behind."""
    hosts: list[ChildHost] = []

    def remember(mode: str) -> ChildHost:
        hosts.append(make(mode))
        return hosts[-1]

    await check(remember)
    assert all(gone(pid_of(host)) for host in hosts)


def test_child_host_conforms_on_uvloop() -> None:
    """Ray Serve runs replicas on uvloop, whose transports differ from asyncio's."""

    async def run() -> None:
        for check in (frames_come_back_in_order, a_core_that_raises_is_dead, stop_finishes_the_step):
            await check(make)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("busy", [False, True])
async def test_a_killed_engine_is_noticed_within_a_second(busy: bool) -> None:
    """kill -9 of the engine process, idle or in a step, raises WorkerLost at the reader at once."""
    host = make("echo")
    await host.start(START_S)
    if busy:
        host.post(Inbound(PEER, work(5000)))
        await asyncio.sleep(0.1)
    reader = asyncio.ensure_future(forever(host))
    await asyncio.sleep(0.1)
    os.kill(pid_of(host), signal.SIGKILL)
    async with LoopClock().deadline(1.0):
        with pytest.raises(WorkerLost, match="status -9"):
            await reader
    with pytest.raises(WorkerLost):
        host.post(Inbound(PEER, frame(0)))
    await host.stop(1.0)


@pytest.mark.parametrize("mode", ["echo", "hang"])
async def test_an_engine_dies_with_its_parent(mode: str) -> None:
    """When the I/O process is killed, the engine is gone within a second, serving or loading."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.engine_parent", mode], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        if mode == "hang":
            await asyncio.sleep(0.5)  # beyond the launch, into the load
        assert not gone(pid)
        parent.kill()
    assert await gone_within(pid, 1.0)


async def test_mail_that_is_too_large_is_refused_and_harmless() -> None:
    """Oversized mail raises WireError where it is posted; the engine serves on."""
    host = make("echo")
    await host.start(START_S)
    with pytest.raises(WireError):
        host.post(Inbound(PEER, frame(1, size=3 * LIMITS.max_frame_bytes)))
    host.post(Inbound(PEER, frame(2)))
    assert await until(host, 1) == [frame(2)]
    await host.stop(1.0)


async def test_a_frame_of_the_largest_size_passes() -> None:
    """A frame that a link may carry always fits the mail, both ways."""
    host = make("echo")
    await host.start(START_S)
    largest = frame(1, size=LIMITS.max_frame_bytes - 20)
    for _ in range(3):
        host.post(Inbound(PEER, largest))
    assert await until(host, 3) == [largest] * 3
    await host.stop(1.0)


@pytest.mark.parametrize("mode", ["garbage", "giant"])
async def test_nonsense_from_the_engine_ends_it(mode: str) -> None:
    """Bytes that are no mail, or a length beyond the limit, kill the engine instead of being trusted."""
    host = make(mode)
    with pytest.raises(WorkerLost):
        await host.start(START_S)
    assert gone(pid_of(host))


@pytest.mark.parametrize("mode", ["leave", "grandchild"])
async def test_an_engine_that_leaves_while_loading_is_lost(mode: str) -> None:
    """start raises WorkerLost with the exit status, even if a forked process keeps the socket open."""
    began = time.monotonic()
    with pytest.raises(WorkerLost, match="status 7"):
        await make(mode).start(START_S)
    assert time.monotonic() - began < GRANDCHILD_S / 2


async def test_loading_has_a_deadline() -> None:
    """A load that takes too long raises DeadlineExceeded and leaves no process."""
    host = make("hang")
    with pytest.raises(DeadlineExceeded):
        await host.start(1.0)
    assert gone(pid_of(host))


async def test_a_start_that_is_cancelled_leaves_no_process() -> None:
    """Ctrl-C while the model loads kills the engine."""
    host = make("hang")
    starting = asyncio.ensure_future(host.start(START_S))
    await asyncio.sleep(0.5)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert gone(pid_of(host))


async def test_a_command_that_does_not_exist_is_lost() -> None:
    """start raises WorkerLost when the engine's program cannot be run."""
    host = ChildHost(ChildCommand(("/no/such/program",)), LoopClock(), LIMITS)
    with pytest.raises(WorkerLost):
        await host.start(START_S)


async def test_the_child_is_pinned_and_told_its_threads(tmp_path: Path) -> None:
    """Cores and environment hold inside the child, and its output goes to the log."""
    core = min(os.sched_getaffinity(0))
    log = tmp_path / "engine.log"
    command = ChildCommand(argv("describe"), (("OMP_NUM_THREADS", "1"),), (core,), log)
    host = ChildHost(command, LoopClock(), LIMITS)
    facts = await host.start(START_S)
    await host.stop(1.0)
    assert facts.model == f"cores=[{core}] threads=1"
    assert "described" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_to_a_group_do_not_reach_the_engine(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM may go to a whole process group; the engine waits for its parent's word."""
    host = make("echo")
    await host.start(START_S)
    os.kill(pid_of(host), number)
    await asyncio.sleep(0.2)
    host.post(Inbound(PEER, frame(1)))
    assert await until(host, 1) == [frame(1)]
    await host.stop(1.0)
