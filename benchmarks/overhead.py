"""Measures what a decode step costs beside the forward pass: `make bench-overhead`.

Plan and commit are the engine's own over real blocks, and sampling is the torch runner's over
random logits; only the forward pass is left out. One thread. Beside it, greedy: the same as a share of
whole steps of the 0.47 B model on all cores (overhead_share.py).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.box import hardware
from benchmarks.figures import percentile
from benchmarks.model_047b import VOCABULARY, model_folder
from benchmarks.overhead_share import SHARE_TARGET, step_us
from benchmarks.report import Reach, Report, Row, at_most
from engine.engine import Engine
from engine.modelled_runner import ModelledRunner, StepCost
from engine.runner import RunnerFacts
from engine.schedule import SchedulePolicy
from engine.step import Sampled, Step, StepResult
from engine.torch_runner.sampler import sample
from protocol.ids import RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling

T = TypeVar("T")

BATCHES = (1, 8, 32, 64)
WAYS = {
    "greedy": Sampling(seed=1, temperature=0.0),
    "top-p 0.95": Sampling(seed=1, temperature=0.8, top_p=0.95),
    "top-k 50, top-p 0.95": Sampling(seed=1, temperature=0.8, top_k=50, top_p=0.95),
}
PROMPT = 64
BLOCK = 16
STEPS = 200
QUICK_STEPS = 20
WARM_UP = 20
SPREAD = 4.0
"""Standard deviation of the logits: peaked about as a language model's are."""
BASE_US, EACH_US = 500.0, 25.0
"""Greedy: at most BASE_US + EACH_US a sequence."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Medians over the steps, in microseconds."""

    plan_us: float
    sample_us: float
    commit_us: float

    @property
    def total_us(self) -> float:
        """All three together."""
        return self.plan_us + self.sample_us + self.commit_us


def measure(batch: int, sampling: Sampling, vocabulary: int, steps: int) -> Overhead:
    """Decode steps of a full batch, `steps` of them after a warm-up."""
    engine = full_engine(batch, sampling, vocabulary, WARM_UP + steps + 1)
    logits = torch.randn(batch, vocabulary, generator=torch.Generator().manual_seed(1)) * SPREAD
    times: list[tuple[float, float, float]] = []
    for _ in range(WARM_UP + steps):
        plan_s, step = timed(engine.plan)
        if step is None or len(step.slices) != batch:
            raise RuntimeError("the batch is not full")
        draws = [piece.draw for piece in step.slices if piece.draw is not None]
        sample_s, drawn = timed(lambda draws=draws: sample(logits, draws))  # type: ignore[misc]
        commit_s, _ = timed(lambda step=step, drawn=drawn: commit(engine, step, drawn))  # type: ignore[misc]
        times.append((plan_s, sample_s, commit_s))
    plan, draw, done = (percentile(column, 0.5) * 1e6 for column in zip(*times[WARM_UP:], strict=True))
    return Overhead(plan, draw, done)


def full_engine(batch: int, sampling: Sampling, vocabulary: int, tokens: int) -> Engine:
    """An engine whose prompts are all computed."""
    facts = RunnerFacts("fake", "cell", PROMPT + tokens, vocabulary, BLOCK, "0" * 64)
    blocks = batch * (-(-(PROMPT + tokens) // BLOCK) + 1)
    policy = SchedulePolicy(max_batch_tokens=max(512, PROMPT * batch), max_running=batch)
    engine = Engine(ModelledRunner(facts, blocks, StepCost()), policy)
    for number in range(batch):
        prompt = tuple(number * PROMPT + place for place in range(PROMPT))
        request = Request(RequestId(f"r{number}"), "fake", prompt, sampling, tokens + 1)
        engine.admit(engine.sequence(Assignment(request, 0, (), 600.0), tokens + 1))
    step = engine.plan()
    if step is None:
        raise RuntimeError("nothing was planned")
    commit(engine, step, [Sampled(1, None)] * len(step.slices))
    return engine


def commit(engine: Engine, step: Step, drawn: Sequence[Sampled | None]) -> None:
    """What follows a step."""
    engine.commit(step, StepResult(tuple(drawn), 0.0))
    engine.release_ended()


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.overhead")
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--cache", type=Path, help="folder for the model")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    whole = step_us(model_folder(args.cache), cores, QUICK_STEPS if args.quick else STEPS)
    torch.set_num_threads(1)
    rows: list[Row] = []
    reach: list[Reach] = []
    for way, sampling in WAYS.items():
        for batch in BATCHES:
            found = measure(batch, sampling, args.vocabulary, QUICK_STEPS if args.quick else STEPS)
            work = f"batch {batch}"
            parts = {"plan": found.plan_us, "sample": found.sample_us, "commit": found.commit_us}
            rows += [Row(work, way, part, value, "us") for part, value in parts.items()]
            rows.append(Row(work, way, "step overhead", found.total_us, "us"))
            if way == "greedy":
                reach.append(
                    at_most(work, "greedy step overhead, us", found.total_us, BASE_US + EACH_US * batch)
                )
            if way == "greedy" and batch in whole:
                share = found.total_us / whole[batch]
                rows.append(
                    Row(
                        work,
                        way,
                        f"shortest whole step of the 0.47 B model, {cores} threads",
                        whole[batch],
                        "us",
                    )
                )
                rows.append(Row(work, way, "overhead as share of it", share, "share"))
                reach.append(at_most(work, "overhead as share of the step", share, SHARE_TARGET))
    note = f"vocabulary {args.vocabulary}"
    print(Report("overhead", hardware(), tuple(rows), tuple(reach), notes=(note,)).text())


if __name__ == "__main__":
    main()
