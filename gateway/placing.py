"""Finds a place for a request: plans, asks workers in turn, and waits while there is none."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from gateway.admission import RETRY_AFTER_S, Admission
from gateway.attempt import AttemptRun
from gateway.course import Course
from gateway.fair_order import FairOrder, Place
from gateway.fleet import Fleet
from gateway.forecast import Forecast
from gateway.journey import Journey
from gateway.recovery import Recovery
from gateway.ticket import Ticket
from gateway.turnstile import Turnstile
from protocol.clock import Clock
from protocol.errors import (
    BatonError,
    Busy,
    DeadlineExceeded,
    Overloaded,
    TransferFailed,
    WorkerLeaving,
    WorkerLost,
)
from protocol.ids import TransferId, WorkerIdentity
from protocol.limits import Limits
from protocol.messages import Prefix
from protocol.request import Assignment
from router.ask import Ask
from router.joint_router import JointRouter
from router.prompt_chain import PromptChain
from router.route_plan import RoutePlan

LAST_RESORT_SHARE = 0.5
"""Share of the longest wait for a place, after which any plan is better than an error soon."""
RUNNERS_UP = 3
"""Plans that are remembered beside the chosen one."""


class Placing:
    """Whoever has to wait holds nothing, and passes in the fair order."""

    def __init__(
        self,
        fleet: Fleet,
        router: JointRouter,
        recovery: Recovery,
        order: FairOrder,
        clock: Clock,
        limits: Limits,
        new_transfer: Callable[[], TransferId],
    ) -> None:
        self.turnstile = Turnstile(clock, limits.report_every_s)
        fleet.gong.tell(self.turnstile.news)
        self.forecast = Forecast()
        self.admission = Admission(self.turnstile, self.forecast, limits)
        self._fleet = fleet
        self._router = router
        self._recovery = recovery
        self._order = order
        self._clock = clock
        self._limits = limits
        self._new_transfer = new_transfer
        self._full = False
        """The last answer was a refusal: until one is not, workers are asked one at a time."""

    async def place(self, journey: Journey) -> AttemptRun:
        """An attempt that its workers have admitted, within max_place_wait_s. Raises DeadlineExceeded,
        Overloaded, or an error that no other worker would mend."""
        remaining = self._left_s(journey)
        wait_s = min(self._limits.max_place_wait_s, remaining)
        try:
            async with self._clock.deadline(wait_s):
                return await self._wait(journey, LAST_RESORT_SHARE * wait_s)
        except DeadlineExceeded as late:
            if remaining <= self._limits.max_place_wait_s:
                raise DeadlineExceeded("the request's deadline passed before it had a place") from late
            full = f"no place became free within {wait_s:.0f} s"
            raise Overloaded(full, retry_after_s=RETRY_AFTER_S) from late

    async def _wait(self, journey: Journey, patience_s: float) -> AttemptRun:
        """After `patience_s` seconds the last resort will do. Whoever cannot be answered in time any more
        is refused when its turn comes. While there is room, the next ones try as soon as workers are asked:
        their answers take as long as a step of theirs."""
        patient_until = self._clock.now() + patience_s
        if self.turnstile.is_free:
            run = await self._try_plans(journey, _nobody, last_resort=False)
            if run is not None:
                self._got_place(journey, journey.place, waited=False)
                return run
        async with self.turnstile.turn(self._ticket(journey)) as turn:
            while True:
                if not journey.sent:
                    self.admission.check(journey.request, 0, self._left_s(journey))
                late = self._clock.now() >= patient_until
                run = await self._try_plans(journey, turn.pass_on, last_resort=late)
                if run is not None:
                    journey.place = turn.placed()
                    self._got_place(journey, journey.place, waited=True)
                    return run
                await turn.others_try()

    def _ticket(self, journey: Journey) -> Ticket:
        """Due is what is promised, not the deadline: who would miss that is refused, not passed over."""
        request, ran = journey.request, journey.placed_at is not None
        number, place, kin = journey.number, journey.place, (request.tenant, request.priority)
        ask = self._ask(journey) if self._router.promises and not ran else None
        if ask is None:
            return Ticket(number, place, kin, again=ran)
        work_s = self._router.prompt_s(ask)
        due_s = self._clock.now() + self._router.promised_s(ask)
        return Ticket(number, place, kin, due_s - work_s, work_s)

    def _got_place(self, journey: Journey, place: Place, *, waited: bool) -> None:
        self._order.passed(place, journey.request.priority)
        self.forecast.placed(self._clock.now(), waited=waited)

    def _left_s(self, journey: Journey) -> float:
        return journey.remaining_s(self._clock.now())

    async def _try_plans(
        self, journey: Journey, pass_on: Callable[[], None], *, last_resort: bool
    ) -> AttemptRun | None:
        """The first plan, cheapest first, that its workers accept; None if there is none now. A worker
        that refused is not asked twice, and by nobody who needs as much until something changes there.
        `pass_on` is called when one is asked that may well accept; then it stands in the books."""
        began = self._clock.now()
        plans = self._plans(journey, last_resort=last_resort)
        plan_s = self._clock.now() - began
        refused: list[WorkerIdentity | None] = []
        for number, plan in enumerate(plans):
            course = self._course(plan)
            if course is None or plan.decode in refused or (plan.prefill and plan.prefill in refused):
                continue
            run, tried_at = self._attempt(journey, course), self._clock.now()
            journey.tried(course, plans[number + 1 : number + 1 + RUNNERS_UP], tried_at)
            if not self._full:
                pass_on()  # who comes next runs when this one waits for its answer
            try:
                await self._placed(run)
            except (Busy, WorkerLeaving) as full:
                self._refused(journey, run, full)
                refused.append(run.failed_at)
            except (WorkerLost, TransferFailed) as lost:
                self._recovery.lost(journey, run, lost)
                return None
            else:
                self._full = False
                journey.placed(plan_s, tried_at, run.reserved_at)
                return run
        return None

    @staticmethod
    async def _placed(run: AttemptRun) -> None:
        """Its workers have admitted it, or nothing of it is left anywhere."""
        placed = False
        try:
            await run.place()
            placed = True
        finally:
            if not placed:
                run.end()

    def _refused(self, journey: Journey, run: AttemptRun, full: BatonError) -> None:
        self._full = True
        self.turnstile.one_by_one()
        journey.lost(full, run.failed_at)
        link = self._fleet.link(run.failed_at) if run.failed_at is not None else None
        if link is not None:
            link.desk.refuse(len(journey.request.prompt) + len(journey.sent))

    def _plans(self, journey: Journey, *, last_resort: bool) -> tuple[RoutePlan, ...]:
        ask = self._ask(journey)
        if ask is None:
            return ()
        if journey.suspect:
            return self._router.alone(ask, journey.avoid)
        plans = self._router.plans(ask, journey.avoid)
        return plans + self._router.last_resort(ask) if last_resort else plans

    def _ask(self, journey: Journey) -> Ask | None:
        """None while no worker is known: they say what their blocks are like."""
        request, now = journey.request, self._clock.now()
        kind = self._router.blocks()
        if kind is None:
            return None
        chain = journey.chain
        if chain is None or (chain.fingerprint, chain.block_size) != kind:
            chain = journey.chain = PromptChain(*kind, request.salt)
        return Ask(
            tokens=len(request.prompt) + len(journey.sent),
            max_total=len(request.prompt) + request.max_tokens,
            keys=chain.keys(request.prompt, journey.sent),
            block_tokens=chain.block_size,
            seed=zlib.crc32(request.id.encode()),
            waited_s=now - journey.arrived_at,
            left_s=journey.remaining_s(now),
            waiting=self.turnstile.waiting,
        )

    def _course(self, plan: RoutePlan) -> Course | None:
        """None if one of its workers is gone; a source that is gone is no loss."""
        decode = self._fleet.link(plan.decode)
        prefill = self._fleet.link(plan.prefill) if plan.prefill is not None else None
        if decode is None or (prefill is None and plan.prefill is not None):
            return None
        source = self._fleet.link(plan.source) if plan.source is not None else None
        prefix = None
        if source is not None:
            prefix = Prefix(self._new_transfer(), source.record.address, plan.source_blocks)
        forecast = self._router.forecast(plan)
        return Course(plan, forecast, decode, prefill, self._new_transfer(), prefix)

    def _attempt(self, journey: Journey, course: Course) -> AttemptRun:
        journey.attempts += 1
        sent, remaining = tuple(journey.sent), self._left_s(journey)
        assignment = Assignment(journey.request, journey.attempts, sent, remaining, journey.suspect)
        return AttemptRun(assignment, course, self._clock, self._limits)


def _nobody() -> None:
    """Of one who has not waited: nobody is let in."""
