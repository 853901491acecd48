"""A route plan on the links that there are."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.worker_link import WorkerLink
from protocol.ids import TransferId
from protocol.messages import Prefix
from router.own_work import Booking
from router.plan_forecast import PlanForecast
from router.route_plan import RoutePlan


@dataclass(frozen=True, slots=True)
class Course:
    """Of one attempt."""

    plan: RoutePlan
    forecast: PlanForecast
    decode: WorkerLink
    prefill: WorkerLink | None
    """None: the decode worker computes the prompt itself."""
    transfer: TransferId
    """From the prefill to the decode worker."""
    prefix: Prefix | None
    """Where the computing worker finds the start of the prompt."""

    @property
    def work(self) -> Booking:
        """What the worker is asked for that computes the prompt."""
        return Booking(self.plan.missing_tokens, self.plan.tokens)

    @property
    def room(self) -> Booking:
        """What a decode worker is asked for that computes nothing of the prompt."""
        return Booking(0, self.plan.tokens)
