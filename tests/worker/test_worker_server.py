"""WorkerServer on a simulated network in virtual time: links, directory, ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocol.clock import LoopClock
from protocol.errors import EngineFailed, LinkClosed, UnsupportedModel, WorkerLost
from protocol.ids import Incarnation, WorkerIdentity
from protocol.links.link import Link
from protocol.mail import EngineInbox, Inbound, PeerId, PeerLost
from protocol.messages import WorkerRecord
from protocol.virtual_loop import run_virtual
from tests.worker.echo_core import (
    CRASH,
    DIALLED,
    GROW,
    LIMITS,
    OTHER,
    WORKER,
    EchoCore,
    dial,
    echo_factory,
    frame,
    work,
)
from tests.worker.worker_site import Site, frames_from, hello
from worker.inline_host import InlineHost
from worker.worker_server import HUNG_S

Scene = Callable[[Site], Awaitable[None]]


def play(scene: Scene) -> None:
    """Runs one scene on a fresh virtual loop."""

    async def run() -> None:
        await scene(Site())

    run_virtual(run())


async def closed(link: Link) -> float:
    """When the link ended."""
    async with LoopClock().deadline(30.0):
        with pytest.raises(LinkClosed):
            while True:
                await link.receive()
    return LoopClock().now()


def test_frames_travel_both_ways() -> None:
    """A peer gets exactly its own answers, and the engine hears its Hello first."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        one, two = await site.gateway(worker, "g1"), await site.gateway(worker, "g2")
        for number in range(10):
            one.send(frame(number))
            two.send(frame(100 + number))
        assert await frames_from(one, 10) == [frame(number) for number in range(10)]
        assert await frames_from(two, 10) == [frame(100 + number) for number in range(10)]
        for peer, name in ((1, "g1"), (2, "g2")):
            heard = [mail for mail in worker.core.mail if isinstance(mail, Inbound) and mail.peer == peer]
            assert heard[0].frame == hello("gateway", name)
            assert len(heard) == 11
        await worker.server.stop(1.0)

    play(scene)


def test_the_engine_hears_that_a_peer_is_lost() -> None:
    """PeerLost comes once, after the last frame of that number; the number is not used again."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        first = await site.gateway(worker)
        first.send(frame(1))
        await frames_from(first, 1)
        await first.close()
        second = await site.gateway(worker)
        second.send(frame(2))
        await frames_from(second, 1)
        assert worker.core.mail == [
            Inbound(PeerId(1), hello("gateway", "g1")),
            Inbound(PeerId(1), frame(1)),
            PeerLost(PeerId(1)),
            Inbound(PeerId(2), hello("gateway", "g1")),
            Inbound(PeerId(2), frame(2)),
        ]
        await worker.server.stop(1.0)

    play(scene)


def test_a_worker_stays_in_the_directory_while_it_lives() -> None:
    """It is registered with its record, outlives many leases, and is gone after stop."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        await site.clock.sleep(0.01)
        (record,) = await site.directory.members()
        assert (record.address, record.role, record.model) == (worker.address, "decode", "echo")
        await site.clock.sleep(100 * LIMITS.renew_every_s)
        assert await site.members() == (WORKER.worker,)
        await worker.server.stop(1.0)
        assert await site.members() == ()
        await worker.server.finished()

    play(scene)


class AwayDirectory:
    """A directory whose holder is away: calls fail, or are never answered."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent

    async def join(self, record: WorkerRecord, lease_s: float) -> None:
        """Fails."""
        await self._fail()

    async def leave(self, identity: WorkerIdentity) -> None:
        """Fails."""
        await self._fail()

    async def members(self) -> tuple[WorkerRecord, ...]:
        """Fails."""
        await self._fail()
        return ()

    async def _fail(self) -> None:
        if self._silent:
            await LoopClock().sleep(1e6)
        raise ConnectionError("nobody there")


@pytest.mark.parametrize("silent", [False, True])
def test_a_lost_directory_fails_nothing(silent: bool) -> None:
    """Without its directory a worker starts, serves and stops, and never waits for it for ever."""

    async def scene(site: Site) -> None:
        site.directory = AwayDirectory(silent)
        worker = await site.worker()
        link = await site.gateway(worker)
        await site.clock.sleep(30.0)
        link.send(frame(1))
        assert await frames_from(link, 1) == [frame(1)]
        worker.server.health()
        await worker.server.stop(1.0)

    play(scene)


def test_an_engine_that_fails_takes_everything_with_it() -> None:
    """After Fatal every link is closed at once, the directory is left, and the error is told."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        one, two = await site.gateway(worker, "g1"), await site.gateway(worker, "g2")
        worker.server.health()
        one.send(CRASH)
        assert await closed(one) < 1.0
        assert await closed(two) < 1.0
        with pytest.raises(EngineFailed, match="asked to crash"):
            await worker.server.finished()
        with pytest.raises(EngineFailed):
            worker.server.health()
        assert await site.members() == ()
        with pytest.raises(LinkClosed):
            await site.gateway(worker)
        await worker.server.stop(1.0)

    play(scene)


def test_an_engine_that_is_killed_takes_everything_with_it() -> None:
    """The same for an engine that dies without a word."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        worker.host.kill()
        assert await closed(link) < 1.0
        with pytest.raises(WorkerLost):
            await worker.server.finished()
        assert await site.members() == ()

    play(scene)


def test_an_engine_that_hangs_is_ended() -> None:
    """No word for HUNG_S ends the worker, although its links would keep themselves alive."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        link.send(work(3_600_000))
        with pytest.raises(EngineFailed, match="hangs"):
            await worker.server.finished()
        assert HUNG_S <= site.clock.now() < HUNG_S + 10.0
        await closed(link)

    play(scene)


def test_the_engine_can_dial_another_worker() -> None:
    """Frames sent before the link is there follow it in order, and answers come back."""

    async def scene(site: Site) -> None:
        reader, source = await site.worker(), await site.worker(OTHER)
        link = await site.gateway(reader)
        link.send(dial(source.address.port))
        await site.clock.sleep(1.0)
        mine = hello("worker", WORKER.worker)
        assert source.core.mail == [Inbound(PeerId(1), mine), Inbound(PeerId(1), DIALLED)]
        assert Inbound(PeerId(-1), DIALLED) in reader.core.mail
        source.host.kill()
        await site.clock.sleep(1.0)
        assert reader.core.mail[-1] == PeerLost(PeerId(-1))
        await reader.server.stop(1.0)

    play(scene)


@pytest.mark.parametrize("life", ["nobody", "life-0"])
def test_a_dial_that_fails_is_a_lost_peer(life: str) -> None:
    """Nobody there, or another incarnation: the engine hears PeerLost, once, and serves on."""

    async def scene(site: Site) -> None:
        reader, source = await site.worker(), await site.worker(OTHER)
        link = await site.gateway(reader)
        port = 99 if life == "nobody" else source.address.port
        link.send(dial(port, WorkerIdentity(OTHER.worker, Incarnation(life))))
        await site.clock.sleep(1.0)
        assert reader.core.mail[-1] == PeerLost(PeerId(-1))
        assert reader.core.mail.count(PeerLost(PeerId(-1))) == 1
        link.send(frame(1))
        assert frame(1) in await frames_from(link, 2)
        await reader.server.stop(1.0)

    play(scene)


def test_a_peer_that_floods_is_closed_alone() -> None:
    """A frame beyond what may wait for the engine closes the link it came on; the others live."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        good, bad = await site.gateway(worker, "good"), await site.gateway(worker, "bad")
        good.send(work(5000))
        await site.clock.sleep(0.1)
        for _ in range(LIMITS.max_link_backlog // 16 + 1):
            for number in range(16):
                bad.send(frame(number))
            await site.clock.sleep(4 * LIMITS.report_every_s)
        await closed(bad)
        assert site.clock.now() < 5.0
        assert await frames_from(good, 1) == [work(5000)]
        good.send(frame(1))
        assert await frames_from(good, 1) == [frame(1)]
        assert PeerLost(PeerId(2)) in worker.core.mail
        await worker.server.stop(1.0)

    play(scene)


def test_a_frame_that_no_link_can_carry_closes_that_link() -> None:
    """A peer never goes on with a gap: the link ends, the engine hears it, others live."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        one, two = await site.gateway(worker, "g1"), await site.gateway(worker, "g2")
        one.send(GROW)
        await closed(one)
        two.send(frame(1))
        assert await frames_from(two, 1) == [frame(1)]
        assert worker.core.mail.count(PeerLost(PeerId(1))) == 1
        await worker.server.stop(1.0)

    play(scene)


def test_stop_is_in_order() -> None:
    """Out of the directory and shut to new links at once; the running step's frames still arrive;
    then links close. Stopping twice, also at the same time, is harmless."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        link.send(work(1000))
        await site.clock.sleep(0.1)
        stopping = [asyncio.ensure_future(worker.server.stop(5.0)) for _ in range(2)]
        await site.clock.sleep(0.1)
        assert await site.members() == ()
        late = await site.gateway(worker, "late")
        await closed(late)
        assert site.clock.now() < 1.0
        assert await frames_from(link, 1) == [work(1000)]
        await closed(link)
        await asyncio.gather(*stopping)
        await worker.server.finished()
        with pytest.raises(WorkerLost):
            worker.server.health()
        assert worker.core.closed == 1

    play(scene)


def test_a_start_that_fails_leaves_nothing() -> None:
    """A model that is refused raises its own error; a port that is taken ends the engine again."""

    async def scene(site: Site) -> None:
        server = site.server(InlineHost(echo_factory("unsupported"), site.clock, LIMITS))
        with pytest.raises(UnsupportedModel):
            await server.start(1.0)
        assert await site.members() == ()
        with pytest.raises(WorkerLost):
            server.health()

        other = await site.worker(OTHER)
        core = EchoCore()
        host = InlineHost(lambda: core, site.clock, LIMITS)
        with pytest.raises(LinkClosed, match="taken"):
            await site.server(host, port=other.address.port).start(1.0)
        assert core.closed == 1
        await other.server.stop(1.0)

    play(scene)


def test_equal_runs_are_equal() -> None:
    """The same scene gives the engine the same mail in the same order, every time."""
    runs: list[list[EngineInbox]] = []

    async def scene(site: Site) -> None:
        worker = await site.worker()
        links = [await site.gateway(worker, f"g{number}") for number in range(5)]
        for number in range(20):
            links[number % 5].send(frame(number))
        await links[3].close()
        await site.clock.sleep(1.0)
        await worker.server.stop(1.0)
        runs.append(worker.core.mail)

    play(scene)
    play(scene)
    assert runs[0] == runs[1]
    assert len(runs[0]) > 25
