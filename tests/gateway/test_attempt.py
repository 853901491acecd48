"""One attempt on one plan."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.attempt import AttemptRun
from gateway.course import Course
from gateway.worker_link import WorkerLink
from protocol.clock import LoopClock
from protocol.errors import (
    BatonError,
    Busy,
    ContextOverflow,
    EngineFailed,
    Stale,
    TransferFailed,
    WorkerLost,
)
from protocol.ids import AttemptKey, RequestId, TransferId
from protocol.messages import Admitted, Failed, Frame, Prefill, Reserve
from protocol.request import Assignment
from protocol.virtual_loop import run_virtual
from router.plan_forecast import PlanForecast
from router.route_plan import RoutePlan
from tests.gateway.fake_worker import ANSWER_S, FakeWorker, token_at
from tests.gateway.gateway_scene import LIMITS, link_to, request

KEY = AttemptKey(RequestId("r"), 1)


def course_over(decode: WorkerLink, prefill: WorkerLink | None, tokens: int) -> Course:
    """A plan that nobody had to make, without a prefix to pull."""
    plan = RoutePlan(
        decode=decode.identity,
        prefill=prefill.identity if prefill is not None else None,
        source=None,
        source_blocks=0,
        held_tokens=0,
        pulled_tokens=0,
        lacking_tokens=tokens,
        tokens=tokens,
        first_token_s=0.1,
        cost_s=1.0,
    )
    forecast = PlanForecast(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    return Course(plan, forecast, decode, prefill, TransferId("t"), None)


class Site:
    """Two linked workers and an attempt on them. To be made inside a running loop."""

    def __init__(
        self, *, local: bool = False, sent: int = 0, max_tokens: int = 5, left_s: float = 60.0
    ) -> None:
        self.clock = LoopClock()
        self.prefill = FakeWorker("prefill-0", "prefill")
        self.decode = FakeWorker("decode-0", "decode")
        links = [link_to(worker) for worker in (self.decode, self.prefill)]
        self.links = links
        self.pumps = [asyncio.create_task(link.pump()) for link in links]
        tokens = tuple(token_at(i) for i in range(sent))
        assignment = Assignment(request(max_tokens=max_tokens), 1, tokens, left_s)
        course = course_over(links[0], None if local else links[1], len(assignment.tokens))
        self.run = AttemptRun(assignment, course, self.clock, LIMITS)

    def nothing_held(self) -> bool:
        """Neither by the workers nor by the links."""
        open_here = any(link.desk.open_requests for link in self.links)
        return not (self.prefill.held or self.decode.held or open_here)

    async def rest(self) -> list[int]:
        """Tokens until the end."""
        tokens: list[int] = []
        while True:
            delta = await self.run.next()
            tokens += delta.tokens
            if delta.finish is not None:
                return tokens


def play(act: Callable[[Site], Awaitable[None]], make: Callable[[], Site] = Site) -> None:
    """Runs one act on virtual time; whatever it did, `end` then leaves nothing, twice."""

    async def run() -> None:
        site = make()
        await act(site)
        site.run.end()
        site.run.end()
        await site.clock.sleep(ANSWER_S)
        assert site.nothing_held()
        for pump in site.pumps:
            pump.cancel()
        await asyncio.gather(*site.pumps, return_exceptions=True)

    run_virtual(run())


def test_the_prompt_is_in_the_books_from_the_start() -> None:
    """Who is planned while the decode worker thinks sees the prompt at the prefill worker; a refusal takes
    it out again."""

    async def act(site: Site) -> None:
        decode, prefill = (link.desk for link in site.links)
        site.decode.refuses = {Reserve: Busy.code}
        placing = asyncio.create_task(site.run.place())
        await site.clock.sleep(ANSWER_S / 2)
        assert prefill.open_tokens == len(request().prompt)
        with pytest.raises(Busy):
            await placing
        site.run.end()
        assert (decode.open_requests, prefill.open_requests, prefill.open_tokens) == (0, 0, 0)
        assert site.prefill.heard == []

    play(act)


def test_decode_is_reserved_before_prefill_is_asked() -> None:
    """Prefill begins only once the decode worker has admitted; then the first token hands over."""

    async def act(site: Site) -> None:
        placing = asyncio.create_task(site.run.place())
        await site.clock.sleep(ANSWER_S / 2)
        assert (site.decode.kinds(), site.prefill.kinds()) == (["Reserve"], [])
        await placing
        assert site.run.reserved_at == ANSWER_S
        assert site.prefill.kinds() == ["Prefill"]
        assert await site.rest() == [token_at(i) for i in range(5)]
        site.run.end()
        assert site.decode.kinds() == ["Reserve", "Join"]
        assert site.prefill.kinds() == ["Prefill"]

    play(act)


@pytest.mark.parametrize("local", [False, True])
def test_it_goes_on_from_the_tokens_sent(local: bool) -> None:
    """A later attempt begins at the first token that the client has not got."""

    async def act(site: Site) -> None:
        await site.run.place()
        assert await site.rest() == [token_at(3), token_at(4)]

    play(act, lambda: Site(sent=3, local=local))


def test_a_first_token_that_ends_the_request_cancels_the_slot() -> None:
    """The decode worker is not left with a reservation that nobody joins."""

    async def act(site: Site) -> None:
        await site.run.place()
        assert await site.rest() == [token_at(0)]
        assert site.decode.kinds() == ["Reserve", "Cancel"]
        assert site.decode.held == {}

    play(act, lambda: Site(max_tokens=1))


def test_loss_of_the_prefill_worker_after_the_first_token_is_harmless() -> None:
    """It owes this gateway nothing any more."""

    async def act(site: Site) -> None:
        await site.run.place()
        await site.run.next()
        await site.prefill.die()
        assert await site.rest() == [token_at(i) for i in range(1, 5)]

    play(act)


def test_loss_of_the_prefill_worker_before_the_first_token_is_told() -> None:
    """The attempt ends, and points to it."""

    async def act(site: Site) -> None:
        await site.run.place()
        await site.prefill.die()
        with pytest.raises(WorkerLost):
            await site.run.next()
        assert site.run.failed_at == site.prefill.identity

    play(act)


def test_loss_of_the_decode_worker_is_told_at_every_stage() -> None:
    """While it reserves, while prefill computes, and while it streams."""
    for after_s in (0.5, 1.5, 2.5, 3.5, 4.5):

        async def act(site: Site, after_s: float = after_s) -> None:
            async def kill() -> None:
                await site.clock.sleep(after_s * ANSWER_S)
                await site.decode.die()

            killing = asyncio.create_task(kill())
            with pytest.raises(WorkerLost):
                await site.run.place()
                await site.rest()
            assert site.run.failed_at == site.decode.identity
            await killing

        play(act)


@pytest.mark.parametrize("silent", [Reserve, Prefill])
def test_a_silent_worker_is_given_up_in_time(silent: type[Frame]) -> None:
    """No answer to a command within peer_deadline_s: lost, and nothing is left of it."""

    async def act(site: Site) -> None:
        worker = site.decode if silent is Reserve else site.prefill
        worker.ignores = (silent,)
        started = site.clock.now()
        with pytest.raises(WorkerLost, match="in time"):
            await site.run.place()
        assert site.run.failed_at == worker.identity
        assert site.clock.now() - started <= LIMITS.peer_deadline_s + 2 * ANSWER_S
        site.run.end()
        assert worker.kinds()[-1] == "Cancel"

    play(act)


def test_chatter_does_not_put_off_the_deadline_of_an_answer() -> None:
    """Only the asked worker's admission ends the wait, and nobody else's words lengthen it."""

    async def act(site: Site) -> None:
        site.prefill.ignores = (Prefill,)

        async def chatter() -> None:
            while True:
                site.decode.link.say(Admitted(KEY, 0))
                await site.clock.sleep(1.0)

        talking = asyncio.create_task(chatter())
        with pytest.raises(WorkerLost):
            await site.run.place()
        assert site.clock.now() <= LIMITS.peer_deadline_s + 2 * ANSWER_S
        talking.cancel()

    play(act)


def test_a_busy_prefill_worker_costs_the_slot_nothing() -> None:
    """After a reservation, Busy from the prefill worker gives the slot back."""

    async def act(site: Site) -> None:
        site.prefill.refuses[Prefill] = Busy.code
        with pytest.raises(Busy):
            await site.run.place()
        assert site.run.failed_at == site.prefill.identity
        site.run.end()
        assert site.decode.kinds() == ["Reserve", "Cancel"]

    play(act)


def test_who_was_never_asked_hears_nothing() -> None:
    """A refused reservation costs the prefill worker not even a Cancel."""

    async def act(site: Site) -> None:
        site.decode.refuses[Reserve] = ContextOverflow.code
        with pytest.raises(ContextOverflow):
            await site.run.place()
        site.run.end()
        assert site.prefill.heard == []

    play(act)


@pytest.mark.parametrize(
    ("code", "to_blame"),
    [
        (TransferFailed.code, "prefill-0"),
        (Stale.code, "prefill-0"),
        (EngineFailed.code, "decode-0"),
        (Busy.code, "decode-0"),
    ],
)
def test_a_lost_transfer_points_to_its_source(code: str, to_blame: str) -> None:
    """The decode worker that tells of it is alive: the next plan should avoid the source."""

    async def act(site: Site) -> None:
        await site.run.place()
        site.decode.link.say(Failed(KEY, code, "failed"))
        with pytest.raises(BatonError) as caught:
            await site.rest()
        assert caught.value.code == code
        assert site.run.failed_at is not None
        assert site.run.failed_at.worker == to_blame

    play(act)
