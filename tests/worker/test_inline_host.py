"""InlineHost: the conformance suite in virtual time, and what only the inline host does."""

from __future__ import annotations

import asyncio

import pytest

from protocol.clock import LoopClock
from protocol.errors import WorkerLost
from protocol.mail import Inbound, PeerId
from protocol.virtual_loop import run_virtual
from tests.worker.echo_core import LIMITS, EchoCore, echo_factory, frame, work
from tests.worker.engine_host_conformance import CHECKS, Check, until
from worker.inline_host import InlineHost

PEER = PeerId(1)


def make(mode: str) -> InlineHost:
    """A host of the echo core."""
    return InlineHost(echo_factory(mode), LoopClock(), LIMITS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_inline_host_conforms(check: Check) -> None:
    """The inline host keeps every promise of the seam, under the virtual clock."""

    async def run() -> None:
        await check(make)

    run_virtual(run())


def test_a_step_takes_the_time_that_it_says() -> None:
    """An inline step lasts exactly `pending.seconds` of the clock."""

    async def run() -> float:
        host = make("echo")
        await host.start(1.0)
        host.post(Inbound(PEER, work(2500)))
        await until(host, 1)
        return LoopClock().now()

    assert run_virtual(run()) == pytest.approx(2.5)


def test_kill_drops_everything_at_once() -> None:
    """After kill nothing is sent or read any more, not even what was ready; memory is freed once."""

    async def run() -> None:
        core = EchoCore()
        host = InlineHost(lambda: core, LoopClock(), LIMITS)
        await host.start(1.0)
        host.post(Inbound(PEER, frame(1)))
        await LoopClock().sleep(0.01)
        host.post(Inbound(PEER, work(1000)))
        await LoopClock().sleep(0.5)
        host.kill()
        with pytest.raises(WorkerLost):
            await host.receive()
        with pytest.raises(WorkerLost):
            host.post(Inbound(PEER, frame(2)))
        await LoopClock().sleep(2.0)
        with pytest.raises(WorkerLost):
            await host.receive()
        await host.stop(1.0)
        assert core.closed == 1

    run_virtual(run())


def test_kill_wakes_the_reader_and_whoever_stops() -> None:
    """A receive and a stop that wait both return when the engine is killed."""

    async def run() -> None:
        host = make("echo")
        await host.start(1.0)
        host.post(Inbound(PEER, work(5000)))
        await LoopClock().sleep(0.1)
        stopping = asyncio.ensure_future(host.stop(60.0))
        reading = asyncio.ensure_future(until(host, 1))
        await LoopClock().sleep(0.1)
        host.kill()
        await stopping
        with pytest.raises(WorkerLost):
            await reading
        assert LoopClock().now() < 1.0

    run_virtual(run())


def test_blocks_are_checked_when_the_engine_falls_idle() -> None:
    """The block account is added up once after each busy period, not on every idle turn."""

    async def run() -> int:
        core = EchoCore()
        host = InlineHost(lambda: core, LoopClock(), LIMITS)
        await host.start(1.0)
        for number in range(3):
            host.post(Inbound(PEER, frame(number)))
            await LoopClock().sleep(1.0)
        await host.stop(1.0)
        assert core.closed == 1
        return core.checks

    assert run_virtual(run()) == 3
