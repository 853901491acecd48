"""A gateway's link to one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.inbox import Heard, Inbox
from protocol.clock import LoopClock
from protocol.errors import LinkClosed, WorkerLost
from protocol.ids import AttemptKey, RequestId
from protocol.messages import Admitted, Cancel, Failed, Join, Refused, StepReport, TokenDelta
from protocol.virtual_loop import run_virtual
from router.own_work import Booking
from tests.gateway.fake_worker import FakeWorker, load_of
from tests.gateway.gateway_scene import link_to

ROOM = Booking(0, 0)
OLD, NEW = AttemptKey(RequestId("r"), 1), AttemptKey(RequestId("r"), 2)


def delta(key: AttemptKey) -> TokenDelta:
    """One token of an attempt."""
    return TokenDelta(key, 0, (7,))


class Site:
    """A worker, the link to it, and an inbox. To be made inside a running loop."""

    def __init__(self) -> None:
        self.worker = FakeWorker("decode-0", "decode")
        self.link = link_to(self.worker)
        self.inbox = Inbox(LoopClock(), 16)
        self.pump = asyncio.create_task(self.link.pump())

    async def hear(self) -> Heard:
        """The next thing for the attempt."""
        return await self.inbox.next(1.0)


def test_frames_go_to_the_attempt_that_they_name() -> None:
    """Admissions, refusals, failures and tokens arrive in order, with who said them."""

    async def run() -> None:
        site = Site()
        site.link.open(NEW, site.inbox, ROOM)
        frames = (Admitted(NEW, 3), Refused(NEW, "x", "y"), Failed(NEW, "x", "y"))
        for frame in frames:
            site.worker.link.say(frame)
        site.worker.link.say(StepReport((delta(NEW),)))
        heard = [await site.hear() for _ in range(4)]
        assert [one.said for one in heard] == [*frames, delta(NEW)]
        assert {one.worker for one in heard} == {site.worker.identity}

    run_virtual(run())


def test_frames_of_older_attempts_are_dropped() -> None:
    """What a forgotten attempt still says reaches nobody, nor do frames that no worker may send."""

    async def run() -> None:
        site = Site()
        site.link.open(OLD, site.inbox, ROOM)
        site.link.close(OLD)
        site.link.open(NEW, site.inbox, ROOM)
        for frame in (Admitted(OLD, 0), StepReport((delta(OLD), delta(NEW))), Failed(OLD, "x", "y")):
            site.worker.link.say(frame)
        site.worker.link.say(Join(NEW, 1))
        assert (await site.hear()).said == delta(NEW)
        site.worker.link.say(Admitted(NEW, 0))
        assert (await site.hear()).said == Admitted(NEW, 0)
        assert site.link.dropped == 4

    run_virtual(run())


def test_its_view_counts_prompts_until_their_first_token() -> None:
    """The router sees what this gateway sent there, before any report comes."""

    async def run() -> None:
        site = Site()
        site.link.open(OLD, site.inbox, Booking(100, 100))
        site.link.open(NEW, site.inbox, Booking(30, 100))
        desk = site.link.desk
        assert (desk.open_tokens, desk.open_requests) == (130, 2)
        site.worker.link.say(StepReport((delta(OLD),), load_of(free_blocks=5)))
        await site.hear()
        assert (desk.open_tokens, desk.open_requests) == (30, 2)
        assert site.link.load == load_of(free_blocks=5)
        site.worker.link.say(StepReport((delta(OLD),)))
        await site.hear()
        assert site.link.load == load_of(free_blocks=5)
        site.link.close(OLD)
        site.link.close(OLD)
        site.link.close(NEW)
        assert (desk.open_tokens, desk.open_requests) == (0, 0)

    run_virtual(run())


async def _die(site: Site) -> None:
    await site.worker.die()


async def _cancel(site: Site) -> None:
    site.pump.cancel()


async def _break(site: Site) -> None:
    site.worker.link.fault = ValueError("broken")
    site.worker.link.say(Admitted(NEW, 0))


@pytest.mark.parametrize("end", [_die, _cancel, _break])
def test_every_end_of_the_link_reaches_every_open_attempt(end: Callable[[Site], Awaitable[None]]) -> None:
    """The link closes, the gateway ends it, or a bug does: nobody waits for a worker that is gone."""

    async def run() -> None:
        site = Site()
        other = Inbox(LoopClock(), 4)
        site.link.open(OLD, other, ROOM)
        site.link.open(NEW, site.inbox, ROOM)
        await asyncio.sleep(0)
        await end(site)
        for inbox in (site.inbox, other):
            heard = await inbox.next(1.0)
            assert isinstance(heard.said, WorkerLost)
            assert heard.worker == site.worker.identity
        await asyncio.gather(site.pump, return_exceptions=True)

    run_virtual(run())


def test_a_closed_link_takes_no_command() -> None:
    """LinkClosed, so that the attempt is planned again at once."""

    async def run() -> None:
        site = Site()
        await site.link.disconnect()
        with pytest.raises(LinkClosed):
            site.link.send(Cancel(NEW))
        await site.pump

    run_virtual(run())
