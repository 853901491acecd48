"""Which steps have begun, for those who outlive the engine: whom they compute, and how long they may take."""

from __future__ import annotations

from collections import deque
from itertools import chain

from engine.step import Step
from protocol.ids import AttemptKey
from protocol.mail import Begun

UNKNOWN_STEP_S = 15.0
"""Predicted of a step whose like was never measured: a large prompt, the first after a start."""


class StepsBegun:
    """Steps that were planned and are not committed. What it says changes seldom: a batch that decodes
    stays the same for many steps, and short steps need no prediction."""

    def __init__(self, short_s: float) -> None:
        """Steps that together take no more than `short_s` predicted seconds are not worth a word."""
        self._short_s = short_s
        self._steps: deque[tuple[Step, float]] = deque()
        self._told = Begun((), 0.0)

    @property
    def predicted_s(self) -> float:
        """Predicted seconds of all of them; 0 when they are short."""
        seconds = sum([seconds for _, seconds in self._steps])
        return seconds if seconds > self._short_s else 0.0

    def briefer_than(self, seconds: float) -> bool:
        """Whether there are some, and they are over within `seconds`, by prediction."""
        return bool(self._steps) and sum([predicted for _, predicted in self._steps]) < seconds

    def begin(self, step: Step, predicted_s: float | None) -> None:
        """One more step; None where nothing like it was measured."""
        self._steps.append((step, UNKNOWN_STEP_S if predicted_s is None else predicted_s))

    def end(self) -> None:
        """The oldest step is committed."""
        self._steps.popleft()

    def news(self) -> Begun | None:
        """What is to be told before the newest step starts, or when there is none; None if that was told."""
        if not self._steps and not self._told.suspects:
            return None
        now = Begun(self._suspects(), self.predicted_s)
        if now == self._told:
            return None
        self._told = now
        return now

    def _suspects(self) -> tuple[AttemptKey, ...]:
        """Everyone in one of the steps; almost always all steps have the same."""
        batches = [tuple([piece.key for piece in step.slices]) for step, _ in self._steps]
        if batches and batches.count(batches[0]) == len(batches):
            return batches[0]
        return tuple(dict.fromkeys(chain.from_iterable(batches)))
