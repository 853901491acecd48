"""Real KV and real logits with a step in flight while the next is planned: the same tokens."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from engine.arena import Arena
from engine.engine import Engine
from engine.runner import RunnerFacts
from engine.schedule import SchedulePolicy
from engine.step import Step, StepResult
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from protocol.request import Assignment
from protocol.sampling import Sampling
from tests.engine.modelled import admitted, assignment
from tests.engine.pipeline import Pipeline, generated
from tests.engine.tiny_models import clear_prompt, random_prompt
from tests.engine.torch_runner.conftest import FolderOf

BLOCK_SIZE = 8
ANSWER = 14
POLICY = SchedulePolicy(max_batch_tokens=32, max_running=6)
FEW_BLOCKS = 16
"""Too few for all at once, so that somebody is preempted."""


class LatePending:
    """A step that computes only when it is waited for, as late as a device may."""

    def __init__(self, runner: TorchRunner, step: Step) -> None:
        self._runner = runner
        self._step = step

    @property
    def seconds(self) -> float:
        """No virtual time."""
        return 0.0

    def result(self) -> StepResult:
        """Computes now."""
        return self._runner.launch(self._step).result()


class LateRunner:
    """A torch runner that looks one step ahead, with memory of its first `blocks` blocks."""

    def __init__(self, runner: TorchRunner, blocks: int) -> None:
        self._runner = runner
        self._arena = Arena(runner.arena.data[:blocks], runner.arena.generations[:blocks])

    @property
    def facts(self) -> RunnerFacts:
        """The runner's, but for the lookahead."""
        return replace(self._runner.facts, lookahead=1)

    @property
    def arena(self) -> Arena:
        """A part of the runner's."""
        return self._arena

    def launch(self, step: Step) -> LatePending:
        """Remembers the step."""
        return LatePending(self._runner, step)


def load(folder_of: FolderOf, kind: str) -> TorchRunner:
    """A small fp32 runner."""
    options = LoadOptions(
        str(folder_of(kind)), 2 << 20, time.perf_counter, dtype="fp32", block_size=BLOCK_SIZE
    )
    return TorchRunner.load(options)


def requests(folder_of: FolderOf, kind: str) -> list[Assignment]:
    """Greedy answers without near-ties, seeded ones, one with penalties, one that stops early, and an
    assignment that resumes."""
    orders = []
    for number, length in enumerate((3, 17, 40)):
        prompt, answer = clear_prompt(folder_of(kind), length, ANSWER, start=1000 * number)
        stop = (answer[5],) if number == 1 else ()
        orders.append(assignment(f"greedy-{number}", tuple(prompt), ANSWER, stop_tokens=stop))
    ways = (
        Sampling(seed=7, temperature=0.8, top_p=0.9),
        Sampling(seed=8, temperature=0.7, presence_penalty=0.5, repetition_penalty=1.2),
        Sampling(seed=9),
    )
    for number, way in enumerate(ways):
        prompt = random_prompt(9 + 8 * number, number)
        sent = (5, 6, 7) if number == 2 else ()
        orders.append(assignment(f"drawn-{number}", tuple(prompt), ANSWER, sampling=way, sent=sent))
    return orders


def told(engine: Engine, orders: list[Assignment], dropped_at: int) -> dict[str, tuple[int, ...]]:
    """What each says; at step `dropped_at` the first is dropped and comes back with what it had."""
    line = Pipeline(engine)
    sequences = {one.request.id: admitted(line.engine, one) for one in orders}
    for _ in range(dropped_at):
        line.turn()
    first = sequences[orders[0].request.id]
    if line.engine.drop(first.key):
        again = Assignment(first.request, 1, generated(first), 60.0)
        sequences[first.request.id] = admitted(line.engine, again)
    line.finish()
    return {name: generated(one) for name, one in sequences.items()}


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_oss"])
def test_one_step_ahead_says_the_same_token_by_token(kind: str, folder_of: FolderOf) -> None:
    """With room for all and with too little, whatever is dropped meanwhile: each answer is that of one
    step at a time. KV is written as late as possible, so a block given away too soon would show."""
    orders = requests(folder_of, kind)
    expected = told(Engine(load(folder_of, kind), POLICY), orders, 0)
    assert [len(answer) < ANSWER for answer in expected.values()] == [False, True, *[False] * 4]
    for blocks in (FEW_BLOCKS, 100):
        for dropped_at in (2, 5):
            runner = LateRunner(load(folder_of, kind), blocks)
            assert told(Engine(runner, POLICY), orders, dropped_at) == expected
