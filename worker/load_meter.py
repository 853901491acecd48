"""Measures an engine with its roles, and says so as a load report."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence as Seq

from engine.engine import Engine
from engine.step import Step
from protocol.load_report import LoadReport, OwnLoad, StepSample
from protocol.mail import PeerId
from worker.role import Role
from worker.role_load import RoleLoad

RATE_WEIGHT = 0.2
RATE_MIN_TOKENS = 16
"""Steps with fewer prompt tokens say nothing about prefill speed."""
MAX_SAMPLES = 8
"""Steps of each kind of which one report tells: the last ones. Prompts are rare among decode steps."""


class LoadMeter:
    """Steps so far, and what is to be done now."""

    def __init__(self, engine: Engine, roles: Seq[Role]) -> None:
        self._engine = engine
        self._roles = tuple(roles)
        self._steps = 0
        self._tokens_per_s = 0.0
        self._prompts: deque[tuple[Step, float]] = deque(maxlen=MAX_SAMPLES)
        """Finished steps that computed some of a prompt, and their seconds."""
        self._others: deque[tuple[Step, float]] = deque(maxlen=MAX_SAMPLES)

    def measure(self, step: Step, seconds: float) -> None:
        """A step is over."""
        self._steps += 1
        _, tokens = step.shape
        (self._prompts if tokens else self._others).append((step, seconds))
        if tokens >= RATE_MIN_TOKENS and seconds > 0:
            rate = tokens / seconds
            known = self._tokens_per_s or rate
            self._tokens_per_s = known + RATE_WEIGHT * (rate - known)

    def read(self, begun_s: float, samples: bool = True) -> tuple[LoadReport, dict[PeerId, OwnLoad]]:
        """What this worker has to do now, and each gateway's part of it. Samples of steps are handed out
        once, and only if they are wanted: they cost more than all the rest."""
        engine, loads = self._engine, [role.load() for role in self._roles]
        running = engine.running
        tokens = [s.uncomputed for s in (*running, *engine.waiting)]
        report = LoadReport(
            running=len(running),
            waiting=len(engine.waiting),
            queued_tokens=sum(load.queued_tokens for load in loads) + sum(n for n in tokens if n > 1),
            total_blocks=engine.pool.total,
            free_blocks=engine.pool.available,
            held_blocks=tuple((kind.value, count) for kind, count in engine.pool.counts().items()),
            steps=self._steps,
            step_s=engine.step_s,
            prefill_tokens_per_s=self._tokens_per_s,
            counters=tuple(pair for role in self._roles for pair in role.counters()),
            begun_s=begun_s,
            reserved=sum(load.reserved for load in loads),
            step_tokens=engine.prompt_budget(),
            kv_tokens=sum(s.computed for s in running),
            step_samples=self._samples() if samples else (),
            pull_samples=tuple(pull for load in loads for pull in load.pulls),
        )
        return report, _own(loads)

    def _samples(self) -> tuple[StepSample, ...]:
        samples = tuple(_sample(step, seconds) for step, seconds in (*self._prompts, *self._others))
        self._prompts.clear()
        self._others.clear()
        return samples


def _own(loads: Seq[RoleLoad]) -> dict[PeerId, OwnLoad]:
    queued, running = Counter[PeerId](), Counter[PeerId]()
    for load in loads:
        for peer, own in load.own.items():
            queued[peer] += own.queued_tokens
            running[peer] += own.running
    return {peer: OwnLoad(queued[peer], running[peer]) for peer in queued}


def _sample(step: Step, seconds: float) -> StepSample:
    if not step.shape[1]:
        count = len(step.slices)
        return StepSample(0, 0.0, count, sum([piece.start for piece in step.slices]) + count, seconds)
    chunks = [(len(piece.tokens), piece.start) for piece in step.slices if len(piece.tokens) > 1]
    ones = [piece.start + 1 for piece in step.slices if len(piece.tokens) == 1]
    prompt = sum(count for count, _ in chunks)
    context = sum(count * start for count, start in chunks) / max(1, prompt)
    return StepSample(prompt, context, len(ones), sum(ones), seconds)
