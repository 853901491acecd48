"""What a gateway remembers of one attempt."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import BatonError
from protocol.ids import WorkerIdentity
from router.plan_forecast import PlanForecast
from router.route_plan import RoutePlan


@dataclass(slots=True)
class AttemptNote:
    """Filled in as the attempt goes on."""

    number: int
    tried_s: float
    """Seconds from the request's arrival."""
    plan: RoutePlan
    forecast: PlanForecast
    runners_up: tuple[RoutePlan, ...]
    """The next best plans of that moment."""
    placed: bool = False
    """Its workers have admitted it."""
    loss: BatonError | None = None
    failed_at: WorkerIdentity | None = None
    """The worker that the loss points to."""
