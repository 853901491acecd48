"""WorkerServer's life on a simulated network in virtual time: directory, ends, stops."""

from __future__ import annotations

import asyncio

import pytest

from protocol.clock import LoopClock
from protocol.errors import EngineFailed, LinkClosed, UnsupportedModel, WorkerLost
from protocol.ids import AttemptKey, RequestId, WorkerIdentity
from protocol.messages import Cancel, Died, Leaving, WorkerRecord
from tests.worker.echo_core import (
    CRASH,
    LIMITS,
    OTHER,
    WORKER,
    EchoCore,
    echo_factory,
    frame,
    work,
)
from tests.worker.worker_site import Site, closed, frames_from, play
from worker.inline_host import InlineHost
from worker.worker_server import TICKS_TO_TELL

WORK = Cancel(AttemptKey(RequestId("work"), 3_600_000))
"""A step of an hour."""


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


@pytest.mark.parametrize(("predicted_s", "found_s"), [(0.0, LIMITS.frozen_s), (2.0, 8.0)])
def test_a_frozen_engine_is_ended(predicted_s: float, found_s: float) -> None:
    """No word for three seconds, or for four times the predicted seconds of the step that it has begun,
    ends the worker, although its links would keep themselves alive. Gateways hear of a death, and whom
    the engine was computing."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        worker.core.predicted_s = predicted_s
        link.send(WORK)
        with pytest.raises(EngineFailed, match="frozen"):
            await worker.server.finished()
        assert found_s <= site.clock.now() < found_s + (2 + TICKS_TO_TELL) * LIMITS.report_every_s
        assert await frames_from(link, 1) == [Died((WORK.key,))]
        await closed(link)

    play(scene)


def test_a_long_step_that_was_announced_is_left_alone() -> None:
    """It takes seven seconds of two predicted ones, and its frames arrive; so do those after it, and
    then three seconds of silence are too much again."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        link = await site.gateway(worker)
        worker.core.predicted_s = 2.0
        link.send(work(7000))
        assert await frames_from(link, 1) == [work(7000)]
        worker.core.predicted_s = 0.0
        link.send(work(3_600_000))
        with pytest.raises(EngineFailed, match="frozen"):
            await worker.server.finished()
        assert site.clock.now() < 7.0 + LIMITS.frozen_s + 1.0

    play(scene)


def test_an_idle_engine_is_not_frozen() -> None:
    """It says nothing but signs of life, for as long as it likes."""

    async def scene(site: Site) -> None:
        worker = await site.worker()
        await site.clock.sleep(100 * LIMITS.frozen_s)
        worker.server.health()
        await worker.server.stop(1.0)

    play(scene)


def test_stop_is_in_order() -> None:
    """Out of the directory and shut to new links at once; gateways hear that it leaves, and the running
    step's frames still arrive; then links close. Stopping twice, also at the same time, is harmless."""

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
        assert await frames_from(link, 2) == [Leaving(), work(1000)]
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
