"""Drives an engine as a host does that keeps its device busy, one move at a time."""

from __future__ import annotations

from collections import deque

from engine.engine import Engine
from engine.runner import Pending
from engine.sequence import Sequence
from engine.step import Step, StepResult
from engine.step_hook import Progress


class Pipeline:
    """An engine and what it has in flight."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._flights: deque[tuple[Step, Pending]] = deque()

    def launch(self) -> Step | None:
        """Plans one more step."""
        step = self.engine.plan()
        self.engine.check()
        if step is not None:
            self._flights.append((step, self.engine.runner.launch(step)))
        return step

    def land(self, *, lost: int | None = None) -> list[Progress]:
        """Commits the oldest; nothing finite comes out of row `lost`."""
        step, pending = self._flights.popleft()
        result = pending.result()
        sampled = tuple(None if row == lost else one for row, one in enumerate(result.sampled))
        progress = self.engine.commit(step, StepResult(sampled, result.seconds))
        self.engine.release_ended()
        self.engine.check()
        return progress

    def turn(self) -> list[Progress]:
        """Plans ahead as far as there is something to plan, then commits the oldest step."""
        while len(self._flights) <= self.engine.runner.facts.lookahead and self.launch() is not None:
            pass
        return self.land() if self._flights else []

    def finish(self) -> None:
        """Until nothing is left to do, and every block is free or cached."""
        while self.engine.running or self.engine.waiting or self._flights:
            self.turn()
        assert self.engine.pool.available == self.engine.pool.total


def generated(sequence: Sequence) -> tuple[int, ...]:
    """Its tokens so far."""
    return tuple(sequence.tokens[len(sequence.request.prompt) :])
