"""The engine's own loop, as the engine process runs it, with lookahead or without."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engine.engine import Engine
from engine.runner import Pending, Runner
from engine.schedule import SchedulePolicy
from engine.step import Step
from protocol.ids import RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling

DEADLINE_S = 3600.0
GREEDY = Sampling(seed=1, temperature=0.0)


@dataclass(frozen=True, slots=True)
class Committed:
    """A step that is over."""

    at_s: float
    """When it was committed."""
    slices: int
    decodes_only: bool


def loaded_engine(runner: Runner, prompts: Sequence[Sequence[int]], tokens: int, budget: int) -> Engine:
    """An engine with a request for `tokens` greedy tokens after each prompt."""
    engine = Engine(
        runner, SchedulePolicy(max_batch_tokens=budget, max_running=len(prompts), max_step_s=60.0)
    )
    for number, prompt in enumerate(prompts):
        request = Request(RequestId(f"r{number}"), "bench", tuple(prompt), GREEDY, tokens)
        engine.admit(engine.sequence(Assignment(request, 0, (), DEADLINE_S), tokens))
    return engine


class EngineLoop:
    """Plans and launches up to `lookahead` steps beyond the one that is waited for."""

    def __init__(self, engine: Engine, lookahead: int) -> None:
        self._engine = engine
        self._lookahead = lookahead
        self._launched: deque[tuple[Step, Pending]] = deque()

    def turn(self) -> Committed | None:
        """The next step to its commit; None when every request has ended."""
        while len(self._launched) <= self._lookahead:
            step = self._engine.plan()
            if step is None:
                break
            self._launched.append((step, self._engine.runner.launch(step)))
        if not self._launched:
            return None
        step, pending = self._launched.popleft()
        self._engine.commit(step, pending.result())
        self._engine.release_ended()
        return Committed(
            time.perf_counter(), len(step.slices), all(len(piece.tokens) == 1 for piece in step.slices)
        )

    def run(self, most: int) -> list[Committed]:
        """At most so many steps."""
        done: list[Committed] = []
        while len(done) < most and (committed := self.turn()) is not None:
            done.append(committed)
        return done


def full_gaps_s(done: Sequence[Committed], batch: int) -> list[float]:
    """Times between commits of decode steps of the full batch, one after another."""
    full = [one.decodes_only and one.slices == batch for one in done]
    return [
        after.at_s - before.at_s
        for before, after, was, is_full in zip(done, done[1:], full, full[1:], strict=False)
        if was and is_full
    ]


def busy_share(spans: Sequence[tuple[float, float]]) -> float:
    """Share of the time from the first start to the last end that is inside any of the spans."""
    if not spans:
        raise ValueError("no spans")
    busy, reached = 0.0, min(start for start, _ in spans)
    begin = reached
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / (reached - begin)
