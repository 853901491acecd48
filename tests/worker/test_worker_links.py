"""WorkerServer's links on a simulated network in virtual time."""

from __future__ import annotations

import pytest

from protocol.ids import Incarnation, WorkerIdentity
from protocol.mail import EngineInbox, Inbound, PeerId, PeerLost
from tests.worker.echo_core import (
    DIALLED,
    GROW,
    LIMITS,
    OTHER,
    WORKER,
    dial,
    frame,
    work,
)
from tests.worker.worker_site import Site, closed, frames_from, hello, play


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
        worker.core.predicted_s = 5.0
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
