"""The gateway: places each request, streams it, and plans again from `Request + tokens sent`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.attempt import AttemptRun
from gateway.calibration import ways_of
from gateway.fair_order import FairOrder
from gateway.fleet import Fleet
from gateway.generator import TokenEvent
from gateway.journey import Journey
from gateway.logbook import Logbook
from gateway.placing import Placing
from gateway.record import Record
from gateway.recovery import Recovery
from gateway.ticket import Ticket
from gateway.turnstile import Turnstile
from protocol.clock import Clock
from protocol.errors import BatonError, Busy, TransferFailed, WorkerLost
from protocol.ids import TransferId
from protocol.limits import Limits
from protocol.request import Request
from router.joint_router import JointRouter


class Gateway:
    """Answers requests with the help of the fleet. Implements the doors' Generator."""

    def __init__(
        self,
        fleet: Fleet,
        router: JointRouter,
        clock: Clock,
        limits: Limits,
        new_transfer: Callable[[], TransferId],
        on_replan: Callable[[], object] = lambda: None,
        on_end: Callable[[Record], object] = lambda record: None,
    ) -> None:
        """`new_transfer`: 128 fresh random bits a call, in hex. `on_replan` is called each time that
        a request is planned again because an attempt was lost, `on_end` once for each request."""
        self._router = router
        self._clock = clock
        self._on_end = on_end
        self._quarantine = fleet.quarantine
        self._recovery = Recovery(self._quarantine, limits, on_replan)
        self._order = FairOrder()
        self._suspects = Turnstile(clock, limits.report_every_s)
        self._placing = Placing(fleet, router, self._recovery, self._order, clock, limits, new_transfer)
        self.logbook = Logbook()
        """What became of requests, and what is being done for those that are open."""

    @property
    def open_requests(self) -> int:
        """Requests that are being answered."""
        return self._placing.admission.open_requests

    async def generate(self, request: Request) -> AsyncGenerator[TokenEvent, None]:
        """Tokens in order, without gap or repeat, until one event has `finish`. Raises one BatonError
        in time if that is not possible. Closing it early cancels the request everywhere."""
        self._quarantine.check(request)
        admission = self._placing.admission
        admission.enter(request)
        journey = Journey(request, self._order.arrive(request), self._clock.now())
        self.logbook.begin(journey)
        error: BatonError | None = None
        try:
            admission.check(request, self._placing.turnstile.ahead(journey.place), request.timeout_s)
            while not journey.finished:
                async with self._attempt(journey) as (run, alone):
                    while not journey.finished:
                        event = journey.accept(await run.next(), self._clock.now())
                        if run.alone and journey.suspect:
                            journey.suspicion = 0
                            await alone.aclose()
                        yield event
        except BatonError as failed:
            error = failed
            raise
        finally:
            admission.leave(request)
            self._end(journey, error)

    def _end(self, journey: Journey, error: BatonError | None) -> None:
        """Learns also from requests that did not get as far as they wanted: they took at least so long."""
        now, forecast = self._clock.now(), self._placing.forecast
        if journey.first_at is not None:
            forecast.spoke(journey.first_s, len(journey.sent), now - journey.first_at)
        elif journey.placed_at is not None:
            forecast.silent(now - journey.placed_at)
        if journey.finished:
            self._router.answered(len(journey.sent))
        else:
            journey.phases.ended(now)
        record = self.logbook.end(journey, error, now)
        ways_s = ways_of(record)
        if record.placed is not None and ways_s is not None:
            self._router.measured(record.placed.plan, ways_s)
        self._on_end(record)

    @asynccontextmanager
    async def _attempt(self, journey: Journey) -> AsyncGenerator[tuple[AttemptRun, AsyncExitStack], None]:
        """One of perhaps several, with its place; a loss of it is raised only if no other is to be tried.
        Suspects take turns: each is computed alone up to a token, which closes the stack."""
        async with AsyncExitStack() as alone:
            await self._take_turn(journey, alone)
            run = await self._placing.place(journey)
            try:
                yield run, alone
            except (WorkerLost, TransferFailed, Busy) as lost:
                self._recovery.lost(journey, run, lost)
            finally:
                run.end()

    async def _take_turn(self, journey: Journey, alone: AsyncExitStack) -> None:
        """Waits until no other suspect of this gateway is computed."""
        if journey.suspect:
            async with self._clock.deadline(journey.remaining_s(self._clock.now())):
                kin = (journey.request.tenant, journey.request.priority)
                ticket = Ticket(journey.number, journey.place, kin)
                await alone.enter_async_context(self._suspects.turn(ticket))
