"""A worker that is drained: what it refuses, what it goes on with, and when it says that nothing is left."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.owner import Owner
from protocol.clock import LoopClock
from protocol.errors import LinkClosed, WorkerLeaving
from protocol.ids import AttemptKey, RequestId, TransferId
from protocol.links.faults import FaultyNetwork
from protocol.links.memory import MemoryNetwork
from protocol.mail import Drain, Drained, Inbound, Outbound
from protocol.messages import Cancel, Compute, Frame, Leaving, Prefill, Refused, Reserve, WorkerAddress
from tests.engine.modelled import admitted, assignment
from tests.worker.echo_core import LIMITS, WORKER, frame, work
from tests.worker.test_core import GATEWAY, Bench
from tests.worker.worker_site import Site, closed, frames_from, play

ASKED = assignment("new", (1, 2, 3), 4)
TRANSFER = TransferId("t")


@pytest.mark.parametrize(
    "command",
    [
        Compute(ASKED),
        Prefill(ASKED, TRANSFER),
        Reserve(ASKED, TRANSFER, WorkerAddress(WORKER, "memory", 1)),
    ],
)
def test_new_work_is_refused_and_all_else_goes_on(command: Frame) -> None:
    """With a code that says: plan it elsewhere, at no charge. The role hears nothing of it."""
    bench = Bench()
    bench.core.deliver([Drain(), Inbound(GATEWAY, command), Inbound(GATEWAY, Cancel(ASKED.key))], 1.0)
    assert bench.role.told == ["Cancel from 1 at 1.0"]
    (answer,) = [mail for mail in bench.core.take_outbox() if isinstance(mail, Outbound)]
    assert isinstance(answer.frame, Refused)
    assert (answer.peer, answer.frame.key, answer.frame.code) == (GATEWAY, ASKED.key, WorkerLeaving.code)


def _drained(bench: Bench, now: float) -> bool:
    bench.turn(now)
    return Drained() in bench.core.take_outbox()


def test_it_says_once_when_nothing_is_left() -> None:
    """Not before the last sequence has ended, nor while a reader has a lease or KV is on its way."""
    bench = Bench()
    assert not _drained(bench, 0.0)
    admitted(bench.engine, assignment("r", (1, 2, 3), 3))
    bench.core.deliver([Drain()], 0.0)
    assert [_drained(bench, float(i)) for i in range(1, 4)] == [False] * 3
    for owner in (Owner.pinned(TRANSFER), Owner.dest(TRANSFER)):
        bench.engine.pool.take(owner, (), 1)
        assert not _drained(bench, 4.0)
        bench.engine.pool.give_back(owner)
    assert _drained(bench, 5.0)
    assert not _drained(bench, 6.0)


def test_a_drained_worker_leaves_the_directory_and_keeps_its_links() -> None:
    """Gateways hear that it leaves; what it has to say still arrives; new links (readers of KV) are
    taken; only `stop` ends it."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        link.send(work(1000))
        await site.clock.sleep(0.1)
        await worker.server.drain(0.5)
        assert await site.members() == ()
        assert await frames_from(link, 1) == [Leaving()]
        assert Drain() in worker.core.mail
        reader = await site.gateway(worker, "reader")
        reader.send(frame(1))
        await worker.server.stop(1.0)
        await closed(reader)

    play(scene)


def test_a_drain_is_bounded_and_hands_over() -> None:
    """An engine that is never drained: its gateways' links end after `finish_s`, and the drain a lease
    later."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        started = LoopClock().now()
        draining = asyncio.create_task(worker.server.drain(2.0))
        assert await closed(link) < started + 2.0 + 1.0
        await draining
        waited = LoopClock().now() - started
        assert waited == pytest.approx(2.0 + LIMITS.lease_s + LIMITS.renew_every_s, abs=1.0)
        await worker.server.drain(2.0)
        await worker.server.stop(1.0)
        await worker.server.drain(2.0)

    play(scene)


def test_last_words_arrive_over_a_network_that_loses_some() -> None:
    """What a worker said before it was drained is repeated until its gateway has it; then it stops."""

    async def scene(site: Site) -> None:
        for seed in range(20):
            site.network = MemoryNetwork(site.clock, FaultyNetwork(random.Random(seed), loss=0.3))
            worker = await site.worker()
            worker.core.drains = True
            link = await site.gateway(worker)
            await site.clock.sleep(2.0)
            await worker.server.drain(30.0)
            await worker.server.stop(1.0)
            assert await frames_from(link, 1) == [Leaving()]

    play(scene)


def test_a_gateway_that_comes_late_hears_it_too() -> None:
    """Whoever dialled before the worker had left the directory, and is linked only now."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        draining = asyncio.create_task(worker.server.drain(2.0))
        await site.clock.sleep(0.1)
        assert await frames_from(await site.gateway(worker), 1) == [Leaving()]
        await worker.server.stop(1.0)
        await draining

    play(scene)


def test_a_death_while_draining_ends_the_drain() -> None:
    """It is told as a death, as always: the request in the step may be the reason."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        worker.core.predicted_s = 0.0
        link.send(Cancel(AttemptKey(RequestId("work"), 3_600_000)))
        started = LoopClock().now()
        await worker.server.drain(60.0)
        assert LoopClock().now() - started < LIMITS.frozen_s + 1.0
        with pytest.raises(LinkClosed):
            while True:
                await link.receive()

    play(scene)
