"""The gateway: places each request, streams it, and plans again from `Request + tokens sent`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing

from gateway.admission import RETRY_AFTER_S, Admission
from gateway.attempt import AttemptRun
from gateway.fair_order import FairOrder
from gateway.fleet import Fleet
from gateway.forecast import Forecast
from gateway.generator import TokenEvent
from gateway.journey import Journey
from gateway.quarantine import Quarantine
from gateway.recovery import Recovery
from gateway.turnstile import Turnstile
from protocol.clock import Clock
from protocol.errors import (
    Busy,
    DeadlineExceeded,
    Overloaded,
    TransferFailed,
    WorkerLeaving,
    WorkerLost,
)
from protocol.ids import TransferId, WorkerIdentity
from protocol.limits import Limits
from protocol.request import Assignment, Request
from router.load_router import Ask, LoadRouter
from router.route_plan import RoutePlan

PLACE_POLL_S = 0.02
LAST_RESORT_SHARE = 0.5
"""Share of the longest wait for a place, after which any plan is better than an error soon."""


class Gateway:
    """Answers requests with the help of the fleet. Implements the doors' Generator."""

    def __init__(
        self,
        fleet: Fleet,
        router: LoadRouter,
        clock: Clock,
        limits: Limits,
        new_transfer: Callable[[], TransferId],
        on_replan: Callable[[], object] = lambda: None,
    ) -> None:
        """`new_transfer`: 128 fresh random bits a call, in hex. `on_replan` is called each time that
        a request is planned again because an attempt was lost."""
        self._fleet = fleet
        self._router = router
        self._clock = clock
        self._limits = limits
        self._new_transfer = new_transfer
        self._quarantine = Quarantine(clock, limits.poison_s)
        self._recovery = Recovery(self._quarantine, limits, on_replan)
        self._order = FairOrder()
        self._turnstile = Turnstile()
        self._suspects = Turnstile()
        self._forecast = Forecast()
        self._admission = Admission(self._turnstile, self._forecast, limits)

    @property
    def open_requests(self) -> int:
        """Requests that are being answered."""
        return self._admission.open_requests

    async def generate(self, request: Request) -> AsyncGenerator[TokenEvent, None]:
        """Tokens in order, without gap or repeat, until one event has `finish`. Raises one BatonError
        in time if that is not possible. Closing it early cancels the request everywhere."""
        self._quarantine.check(request)
        self._admission.enter(request)
        journey = Journey(request, self._order.arrive(request), self._clock.now())
        try:
            self._admission.check(request, self._turnstile.ahead(journey.place), request.timeout_s)
            async with aclosing(self._answer(journey)) as events:
                async for event in events:
                    yield event
        finally:
            self._admission.leave(request)
            self._learn(journey)

    def _learn(self, journey: Journey) -> None:
        """Also from requests that did not get as far as they wanted: they took at least so long."""
        now = self._clock.now()
        if journey.first_at is not None:
            self._forecast.spoke(journey.first_s, len(journey.sent), now - journey.first_at)
        elif journey.placed_at is not None:
            self._forecast.silent(now - journey.placed_at)

    async def _answer(self, journey: Journey) -> AsyncGenerator[TokenEvent, None]:
        """One attempt after another. Suspects take turns: each is computed alone up to a token."""
        finished = False
        while not finished:
            async with AsyncExitStack() as alone:
                await self._take_turn(journey, alone)
                run = await self._place(journey)
                try:
                    while not finished:
                        delta = await run.next()
                        finished = delta.finish is not None
                        if run.alone and journey.suspect:
                            journey.suspicion = 0
                            await alone.aclose()
                        yield journey.accept(delta, self._clock.now())
                except (WorkerLost, TransferFailed, Busy) as lost:
                    self._recovery.lost(journey, run, lost)
                finally:
                    run.end()

    async def _take_turn(self, journey: Journey, alone: AsyncExitStack) -> None:
        """Waits until no other suspect of this gateway is computed."""
        if journey.suspect:
            async with self._clock.deadline(self._left_s(journey)):
                await alone.enter_async_context(self._suspects.turn(journey.place))

    async def _place(self, journey: Journey) -> AttemptRun:
        """An attempt that its workers have admitted, within max_place_wait_s."""
        remaining = self._left_s(journey)
        wait_s = min(self._limits.max_place_wait_s, remaining)
        try:
            async with self._clock.deadline(wait_s):
                return await self._wait_for_place(journey, LAST_RESORT_SHARE * wait_s)
        except DeadlineExceeded as late:
            if remaining <= self._limits.max_place_wait_s:
                raise DeadlineExceeded("the request's deadline passed before it had a place") from late
            full = f"no place became free within {wait_s:.0f} s"
            raise Overloaded(full, retry_after_s=RETRY_AFTER_S) from late

    async def _wait_for_place(self, journey: Journey, patience_s: float) -> AttemptRun:
        """Whoever has to wait holds nothing, and passes in the fair order. After `patience_s` seconds the
        last resort will do. Whoever cannot be answered in time any more is refused when its turn comes."""
        patient_until = self._clock.now() + patience_s
        if self._turnstile.is_free:
            run = await self._try_plans(journey, last_resort=False)
            if run is not None:
                self._got_place(journey, waited=False)
                return run
        async with self._turnstile.turn(journey.place):
            while True:
                if not journey.sent:
                    self._admission.check(journey.request, 0, self._left_s(journey))
                run = await self._try_plans(journey, last_resort=self._clock.now() >= patient_until)
                if run is not None:
                    self._got_place(journey, waited=True)
                    return run
                await self._clock.sleep(PLACE_POLL_S)

    def _got_place(self, journey: Journey, *, waited: bool) -> None:
        self._order.passed(journey.place, journey.request.priority)
        self._forecast.placed(self._clock.now(), waited=waited)

    def _left_s(self, journey: Journey) -> float:
        return journey.remaining_s(self._clock.now())

    async def _try_plans(self, journey: Journey, *, last_resort: bool) -> AttemptRun | None:
        """The first plan, cheapest first, that its workers accept; None if there is none now. A worker
        that refused is not asked twice."""
        refused: list[WorkerIdentity | None] = []
        for plan in self._plans(journey, last_resort=last_resort):
            if plan.decode in refused or (plan.prefill is not None and plan.prefill in refused):
                continue
            run = self._attempt(journey, plan)
            if run is None:
                continue
            tried_at = self._clock.now()
            placed = False
            try:
                await run.place()
                placed = True
            except (Busy, WorkerLeaving):
                refused.append(run.failed_at)
                continue
            except (WorkerLost, TransferFailed) as lost:
                self._recovery.lost(journey, run, lost)
                return None
            finally:
                if not placed:
                    run.end()
            journey.placed(tried_at, run.reserved_at)
            return run
        return None

    def _plans(self, journey: Journey, *, last_resort: bool) -> tuple[RoutePlan, ...]:
        request = journey.request
        ask = Ask(len(request.prompt) + len(journey.sent), len(request.prompt) + request.max_tokens)
        views = [link.view() for link in self._fleet.usable()]
        if journey.suspect:
            return self._router.alone(ask, views, journey.avoid)
        plans = self._router.plans(ask, views, journey.avoid)
        return plans + self._router.last_resort(ask, views) if last_resort else plans

    def _attempt(self, journey: Journey, plan: RoutePlan) -> AttemptRun | None:
        decode = self._fleet.link(plan.decode)
        prefill = self._fleet.link(plan.prefill) if plan.prefill is not None else None
        if decode is None or (prefill is None and plan.prefill is not None):
            return None
        journey.attempts += 1
        remaining = self._left_s(journey)
        sent = tuple(journey.sent)
        assignment = Assignment(journey.request, journey.attempts, sent, remaining, journey.suspect)
        transfer = self._new_transfer()
        return AttemptRun(assignment, decode, prefill, transfer, self._clock, self._limits)
