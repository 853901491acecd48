"""Steps that a host has launched and not committed, and how long the oldest of them still takes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from engine.runner import Pending
from engine.step import Step
from worker.step_core import StepCore

AHEAD_S = 0.003
"""So long before a step on a device ends, the next is planned: whatever comes until then is in it."""


@dataclass(frozen=True, slots=True)
class LaunchedStep:
    """One of them."""

    step: Step
    pending: Pending
    at: float


class LaunchedSteps:
    """One device: steps run one after another, in the order of their launches."""

    def __init__(self, core: StepCore) -> None:
        self._core = core
        self._steps: deque[LaunchedStep] = deque()
        self._idle_since = float("-inf")

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def enough(self) -> bool:
        """Whether the oldest must be committed before the next is planned."""
        return len(self._steps) > self._core.lookahead

    def launch(self, step: Step, now: float) -> None:
        """Starts one more."""
        self._steps.append(LaunchedStep(step, self._core.launch(step), now))

    def remaining_s(self, now: float) -> float:
        """Virtual seconds until the oldest is over; it began when the device had nothing else to do."""
        oldest = self._steps[0]
        return max(0.0, oldest.pending.seconds - (now - max(oldest.at, self._idle_since)))

    def early_s(self, now: float) -> float:
        """Seconds until the next is to be planned, to the microsecond."""
        return round(self.remaining_s(now) - AHEAD_S, 6) if self._steps else 0.0

    def take(self, now: float) -> LaunchedStep:
        """Removes the oldest, whose virtual time has passed."""
        self._idle_since = now
        return self._steps.popleft()
