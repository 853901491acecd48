"""What every EngineHost promises. A host's tests run each of CHECKS with their own way to make one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocol.clock import LoopClock
from protocol.errors import EngineFailed, Overloaded, UnsupportedModel, WorkerLost
from protocol.mail import EngineNews, Fatal, Inbound, PeerId, PeerLost
from protocol.messages import Frame
from tests.worker.echo_core import CRASH, LIMITS, PING, WORKER, frame, frames_of, work
from worker.engine_host import EngineHost

HostFactory = Callable[[str], EngineHost]
"""A host of tests.worker.echo_core, by mode."""
START_S = 30.0
PEER = PeerId(1)


async def until(host: EngineHost, count: int, peer: int = PEER) -> list[Frame]:
    """Receives until `count` frames for the peer have come."""
    frames: list[Frame] = []
    async with LoopClock().deadline(10.0):
        while len(frames) < count:
            frames += frames_of(await host.receive(), peer)
    return frames


async def last_words(host: EngineHost) -> list[EngineNews]:
    """Everything until the engine has ended."""
    mail: list[EngineNews] = []
    async with LoopClock().deadline(10.0):
        try:
            while True:
                mail += await host.receive()
        except WorkerLost:
            return mail


async def start_gives_the_facts(make: HostFactory) -> None:
    """start returns what the engine says of itself."""
    host = make("echo")
    facts = await host.start(START_S)
    assert (facts.identity, facts.model) == (WORKER, "echo")
    await host.stop(1.0)


async def frames_come_back_in_order(make: HostFactory) -> None:
    """Mail is neither lost, doubled nor reordered, either way."""
    host = make("echo")
    await host.start(START_S)
    sent = [frame(number) for number in range(60)]
    for each in sent:
        host.post(Inbound(PEER, each))
    assert await until(host, len(sent)) == sent
    await host.stop(1.0)


async def an_idle_engine_shows_signs_of_life(make: HostFactory) -> None:
    """Without any mail, receive returns empty batches a few times a second."""
    host = make("echo")
    await host.start(START_S)
    async with LoopClock().deadline(20 * LIMITS.report_every_s):
        assert [await host.receive() for _ in range(3)] == [[], [], []]
    await host.stop(1.0)


async def answers_do_not_wait_for_the_next_step(make: HostFactory) -> None:
    """What the engine says to mail leaves before a step that begins with the same mail."""
    host = make("echo")
    await host.start(START_S)
    host.post(Inbound(PEER, PING))
    host.post(Inbound(PEER, work(3000)))
    async with LoopClock().deadline(1.0):
        assert await until(host, 1) == [PING]
    await host.stop(0.0)


async def a_load_error_keeps_its_type(make: HostFactory) -> None:
    """start raises the error of the tree that loading raised, and the host is dead."""
    host = make("unsupported")
    with pytest.raises(UnsupportedModel, match="layer 3 does not use"):
        await host.start(START_S)
    with pytest.raises(WorkerLost):
        host.post(Inbound(PEER, frame(0)))
    with pytest.raises(WorkerLost):
        await host.receive()
    await host.stop(1.0)


async def any_other_load_error_is_engine_failed(make: HostFactory) -> None:
    """A load that raises something else raises EngineFailed with its text."""
    with pytest.raises(EngineFailed, match="RuntimeError: no such file"):
        await make("broken").start(START_S)


async def a_core_that_raises_is_dead(make: HostFactory) -> None:
    """The last mail is Fatal, then WorkerLost for ever: a failed engine is never repaired."""
    host = make("echo")
    await host.start(START_S)
    host.post(Inbound(PEER, frame(1)))
    assert await until(host, 1) == [frame(1)]
    host.post(Inbound(PEER, CRASH))
    assert (await last_words(host))[-1] == Fatal("engine_failed", "RuntimeError: asked to crash")
    for _ in range(2):
        with pytest.raises(WorkerLost):
            await host.receive()
    with pytest.raises(WorkerLost):
        host.post(Inbound(PEER, frame(2)))
    await host.stop(1.0)


async def stop_finishes_the_step(make: HostFactory) -> None:
    """What the running step says is still read; then WorkerLost. Stopping twice is harmless."""
    host = make("echo")
    await host.start(START_S)
    host.post(Inbound(PEER, work(300)))
    await LoopClock().sleep(0.1)
    await host.stop(5.0)
    assert frames_of(await last_words(host), PEER) == [work(300)]
    await host.stop(1.0)
    with pytest.raises(WorkerLost):
        host.post(Inbound(PEER, frame(0)))


async def stop_does_not_wait_longer_than_its_grace(make: HostFactory) -> None:
    """A step that outlasts the grace is ended by force."""
    host = make("echo")
    await host.start(START_S)
    host.post(Inbound(PEER, work(8000)))
    await LoopClock().sleep(0.1)
    async with LoopClock().deadline(3.0):
        await host.stop(0.2)
        assert frames_of(await last_words(host), PEER) == []


async def a_reader_is_told_of_the_stop(make: HostFactory) -> None:
    """A receive that waits while the host is stopped raises WorkerLost."""
    host = make("echo")
    await host.start(START_S)
    reader = asyncio.ensure_future(last_words(host))
    await LoopClock().sleep(0.1)
    await host.stop(1.0)
    assert frames_of(await reader, PEER) == []


async def waiting_mail_is_bounded(make: HostFactory) -> None:
    """Beside a long step, frames are refused from some point on; PeerLost is not, and all that
    was taken arrives in order."""
    host = make("echo")
    await host.start(START_S)
    host.post(Inbound(PEER, work(1500)))
    await LoopClock().sleep(0.3)
    sent: list[Frame] = []
    with pytest.raises(Overloaded):
        while len(sent) < 1000:
            host.post(Inbound(PEER, frame(len(sent), size=20_000)))
            sent.append(frame(len(sent), size=20_000))
    host.post(PeerLost(PeerId(2)))
    assert await until(host, len(sent) + 1) == [work(1500), *sent]
    await host.stop(1.0)


Check = Callable[[HostFactory], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    start_gives_the_facts,
    frames_come_back_in_order,
    an_idle_engine_shows_signs_of_life,
    answers_do_not_wait_for_the_next_step,
    a_load_error_keeps_its_type,
    any_other_load_error_is_engine_failed,
    a_core_that_raises_is_dead,
    stop_finishes_the_step,
    stop_does_not_wait_longer_than_its_grace,
    a_reader_is_told_of_the_stop,
    waiting_mail_is_bounded,
)
