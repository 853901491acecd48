"""How fast a simulated worker computes; it can be slowed down for a while."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.modelled_runner import StepCost
from engine.step import Step

SLOWNESS = 10.0


@dataclass(slots=True)
class Pace:
    """Mutable factor on the time of a step."""

    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class PacedCost(StepCost):
    """StepCost, times the worker's present factor."""

    pace: Pace = field(default_factory=Pace)

    def seconds(self, step: Step) -> float:
        """How long the step takes just now."""
        return StepCost.seconds(self, step) * self.pace.factor
