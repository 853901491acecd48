"""The gateway: places each request, streams it, and plans again from `Request + tokens sent`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from gateway.attempt import AttemptRun
from gateway.fleet import Fleet
from gateway.generator import TokenEvent
from protocol.clock import Clock
from protocol.errors import (
    BatonError,
    Busy,
    DeadlineExceeded,
    Overloaded,
    RetriesSpent,
    TransferFailed,
    WorkerLost,
)
from protocol.ids import TransferId, WorkerIdentity
from protocol.limits import Limits
from protocol.messages import Phase, Stamp, TokenDelta
from protocol.request import Assignment, Request
from router.load_router import Ask, LoadRouter
from router.route_plan import RoutePlan

PLACE_POLL_S = 0.02
RETRY_AFTER_S = 2.0


@dataclass(slots=True)
class Journey:
    """All that a request needs to go on anywhere: itself, and the tokens sent."""

    request: Request
    arrived_at: float
    sent: list[int] = field(default_factory=list)
    attempt: int = 0
    replans: int = 0
    cached_tokens: int | None = None
    stamps: list[Stamp] = field(default_factory=list)
    avoid: frozenset[WorkerIdentity] = frozenset()

    def remaining_s(self, now: float) -> float:
        """Seconds to the deadline."""
        return self.arrived_at + self.request.timeout_s - now


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
        """`new_transfer`: 128 fresh random bits a call, in hex. `on_replan` is called for every
        attempt beyond a request's first."""
        self._fleet = fleet
        self._router = router
        self._clock = clock
        self._limits = limits
        self._new_transfer = new_transfer
        self._on_replan = on_replan
        self._turnstile = asyncio.Lock()
        self._open = 0

    @property
    def open_requests(self) -> int:
        """Requests that are being answered."""
        return self._open

    async def generate(self, request: Request) -> AsyncGenerator[TokenEvent, None]:
        """Tokens in order, without gap or repeat, until one event has `finish`. Raises one BatonError
        in time if that is not possible. Closing it early cancels the request everywhere."""
        if self._open >= self._limits.max_open_requests:
            raise Overloaded("too many open requests", retry_after_s=RETRY_AFTER_S)
        self._open += 1
        try:
            journey = Journey(request, self._clock.now())
            finished = False
            while not finished:
                run = await self._place(journey)
                try:
                    while not finished:
                        delta = await run.next()
                        finished = delta.finish is not None
                        yield self._accept(journey, delta)
                except (WorkerLost, TransferFailed, Busy) as lost:
                    self._plan_again(journey, run, lost)
                finally:
                    run.end()
        finally:
            self._open -= 1

    def _accept(self, journey: Journey, delta: TokenDelta) -> TokenEvent:
        journey.sent.extend(delta.tokens)
        journey.stamps.extend(delta.stamps)
        if journey.cached_tokens is None:
            journey.cached_tokens = delta.cached_tokens
        return TokenEvent(
            first_index=delta.first_index,
            tokens=delta.tokens,
            logprobs=delta.logprobs,
            finish=delta.finish,
            cached_tokens=journey.cached_tokens,
            stamps=tuple(journey.stamps) if delta.stamps or delta.finish is not None else (),
        )

    def _plan_again(self, journey: Journey, run: AttemptRun, error: BatonError) -> None:
        journey.replans += 1
        self._on_replan()
        if run.failed_at is not None:
            journey.avoid = journey.avoid | {run.failed_at}
        if journey.replans > self._limits.max_replans:
            spent = f"{journey.replans} attempts failed, the last one so: {error.message}"
            raise RetriesSpent(spent, retry_after_s=RETRY_AFTER_S) from error

    async def _place(self, journey: Journey) -> AttemptRun:
        """An attempt that its workers have admitted. Whoever has to wait, waits in order of arrival."""
        started = self._clock.now()
        if not self._turnstile.locked():
            run = await self._try_plans(journey, started)
            if run is not None:
                return run
        wait_s = min(self._limits.max_place_wait_s, journey.remaining_s(started))
        try:
            async with self._clock.deadline(wait_s), self._turnstile:
                while True:
                    run = await self._try_plans(journey, started)
                    if run is not None:
                        return run
                    await self._clock.sleep(PLACE_POLL_S)
        except DeadlineExceeded as late:
            if journey.remaining_s(self._clock.now()) <= 0:
                raise DeadlineExceeded("the request's deadline passed while it waited for a place") from late
            full = f"no place became free within {wait_s:.0f} s"
            raise Overloaded(full, retry_after_s=RETRY_AFTER_S) from late

    async def _try_plans(self, journey: Journey, started: float) -> AttemptRun | None:
        """The first plan, cheapest first, that its workers accept; None if there is none now."""
        ask = Ask(len(journey.request.prompt) + len(journey.sent), journey.request.max_tokens)
        views = [link.view() for link in self._fleet.links()]
        for plan in self._router.plans(ask, views, journey.avoid):
            run = self._attempt(journey, plan)
            if run is None:
                continue
            reserve_began = self._clock.now()
            placed = False
            try:
                await run.place()
                placed = True
            except Busy:
                continue
            except (WorkerLost, TransferFailed) as lost:
                self._plan_again(journey, run, lost)
                return None
            finally:
                if not placed:
                    run.end()
            now = self._clock.now()
            journey.stamps.append(Stamp(Phase.QUEUE, reserve_began - started))
            journey.stamps.append(Stamp(Phase.RESERVE, now - reserve_began))
            return run
        return None

    def _attempt(self, journey: Journey, plan: RoutePlan) -> AttemptRun | None:
        decode = self._fleet.link(plan.decode)
        prefill = self._fleet.link(plan.prefill) if plan.prefill is not None else None
        if decode is None or (prefill is None and plan.prefill is not None):
            return None
        journey.attempt += 1
        remaining = journey.remaining_s(self._clock.now())
        assignment = Assignment(journey.request, journey.attempt, tuple(journey.sent), remaining)
        transfer = self._new_transfer()
        return AttemptRun(assignment, decode, prefill, transfer, self._clock, self._limits)
