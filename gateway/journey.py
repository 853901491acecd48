"""All that a request needs to go on anywhere: itself, and the tokens sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gateway.attempt_note import AttemptNote
from gateway.course import Course
from gateway.fair_order import Place
from gateway.generator import TokenEvent
from gateway.phase_clock import PhaseClock
from protocol.errors import BatonError
from protocol.ids import WorkerIdentity
from protocol.messages import TokenDelta
from protocol.request import Request
from router.prompt_chain import PromptChain
from router.route_plan import RoutePlan

SUSPECT_AFTER = 2
"""Deaths in a running step; whoever was in both is computed alone."""
NOTES = 16
"""Attempts that are remembered; those before are not."""


@dataclass(slots=True)
class Journey:
    """One request from its arrival to its end, over all its attempts."""

    request: Request
    place: Place
    """In the fair order of those who wait at this gateway."""
    arrived_at: float
    sent: list[int] = field(default_factory=list)
    attempts: int = 0
    failures: int = 0
    """Attempts that were lost for no known reason; a worker that is busy or leaves is none."""
    deaths: int = 0
    """Attempts that were lost because a worker said that its engine died."""
    suspicion: int = 0
    """Deaths of engines that were computing this request, since it last computed alone and well."""
    cached_tokens: int | None = None
    avoid: frozenset[WorkerIdentity] = frozenset()
    """Workers that failed this request."""
    placed_at: float | None = None
    """When the present attempt was admitted by its workers; None before the first."""
    first_at: float | None = None
    """When the first token came, and how many seconds that was after its place."""
    first_s: float = 0.0
    finished: bool = False
    chain: PromptChain | None = None
    """Block keys, as far as anybody asked for them."""
    notes: deque[AttemptNote] = field(default_factory=lambda: deque(maxlen=NOTES))
    phases: PhaseClock = field(init=False)
    number: int = field(init=False)
    """Order of arrival at this gateway."""

    def __post_init__(self) -> None:
        self.number = self.place[1]
        self.phases = PhaseClock(self.arrived_at)

    def remaining_s(self, now: float) -> float:
        """Seconds to the deadline."""
        return self.arrived_at + self.request.timeout_s - now

    @property
    def suspect(self) -> bool:
        """Whether it is to be computed alone, so that one more death would tell who is to blame."""
        return self.suspicion >= SUSPECT_AFTER

    def tried(self, course: Course, runners_up: tuple[RoutePlan, ...], now: float) -> None:
        """An attempt is about to be made; `runners_up`: the next best plans of this moment."""
        tried_s = now - self.arrived_at
        self.notes.append(AttemptNote(self.attempts, tried_s, course.plan, course.forecast, runners_up))

    def placed(self, plan_s: float, tried_at: float, reserved_at: float) -> None:
        """A plan that took `plan_s` to make was tried at `tried_at`, and its decode worker answered at
        `reserved_at`."""
        self.notes[-1].placed = True
        self.phases.placed(plan_s, tried_at, reserved_at)
        self.placed_at = reserved_at

    def lost(self, error: BatonError, failed_at: WorkerIdentity | None) -> None:
        """The last attempt came to nothing."""
        self.notes[-1].loss, self.notes[-1].failed_at = error, failed_at

    def accept(self, delta: TokenDelta, now: float) -> TokenEvent:
        """The delta becomes part of the answer. From here on it counts as sent."""
        self.phases.spoke(delta.stamps, now)
        if self.first_at is None:
            self.first_at = now
            self.first_s = 0.0 if self.placed_at is None else now - self.placed_at
        self.sent.extend(delta.tokens)
        if self.cached_tokens is None:
            self.cached_tokens = delta.cached_tokens
        self.finished = delta.finish is not None
        return TokenEvent(
            first_index=delta.first_index,
            tokens=delta.tokens,
            logprobs=delta.logprobs,
            finish=delta.finish,
            cached_tokens=self.cached_tokens,
            stamps=self.phases.stamps() if delta.stamps or self.finished else (),
        )
