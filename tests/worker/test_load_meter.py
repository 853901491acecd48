"""What a load report says is what the engine did and has to do."""

from __future__ import annotations

import pytest

from engine.owner import Owner
from engine.step import Slice, Step
from protocol.ids import AttemptKey, RequestId, TransferId
from protocol.load_report import LoadReport, OwnLoad, PullSample, StepSample
from tests.engine.modelled import POLICY, admitted, assignment
from tests.worker.test_core import GATEWAY, IDENTITY, OTHER, Bench
from worker.load_meter import MAX_SAMPLES, LoadMeter
from worker.role_load import RoleLoad


class Metered:
    """A small engine, one role, and their meter."""

    def __init__(self, blocks: int) -> None:
        bench = Bench(blocks)
        self.engine, self.role = bench.engine, bench.role
        self.meter = LoadMeter(self.engine, [self.role])

    def turn(self) -> Step:
        """One step."""
        step = self.engine.plan()
        assert step is not None
        result = self.engine.runner.launch(step).result()
        self.engine.commit(step, result)
        self.engine.release_ended()
        self.meter.measure(step, result.seconds)
        return step

    def load(self) -> LoadReport:
        """The report alone."""
        return self.meter.read(0.0)[0]


def test_load_says_what_is_to_be_done() -> None:
    """Prompt tokens not computed yet, sequences with and without blocks, and blocks that add up."""
    metered = Metered(blocks=10)
    admitted(metered.engine, assignment("runs", tuple(range(10)), 5))
    metered.turn()
    admitted(metered.engine, assignment("waits", tuple(range(50, 70)), 5))
    load = metered.load()
    assert (load.running, load.waiting, load.queued_tokens, load.steps) == (1, 1, 20, 1)
    assert (load.total_blocks, load.free_blocks, load.kv_tokens) == (10, 7, 10)
    assert sum(count for _, count in load.held_blocks) == 10
    assert dict(load.held_blocks)["request"] == 3
    assert "told" in dict(load.counters)
    assert load.step_s > 0
    assert 0 < load.step_tokens <= POLICY.max_batch_tokens


def test_prefill_speed_is_measured_on_prompts_alone() -> None:
    """A batch that draws many tokens says nothing about how fast prompts are computed."""
    metered = Metered(blocks=200)
    for number in range(20):
        admitted(metered.engine, assignment(f"r{number}", (number,), 5))
    metered.turn()
    metered.turn()
    assert metered.load().prefill_tokens_per_s == 0
    admitted(metered.engine, assignment("prompt", tuple(range(100)), 5))
    metered.turn()
    load = metered.load()
    assert load.prefill_tokens_per_s == pytest.approx(100 / load.step_s)


def test_each_step_is_told_once_with_what_it_computed() -> None:
    """Tokens of chunks and what lay before them, single tokens and what they attend to."""
    metered = Metered(blocks=20)

    def piece(count: int, start: int) -> Slice:
        return Slice(AttemptKey(RequestId("r"), 0), (0,) * count, start, (), None)

    metered.meter.measure(Step((piece(1, 9), piece(30, 0), piece(10, 40), piece(1, 4))), 0.5)
    metered.meter.measure(Step((piece(1, 7),)), 0.25)
    assert metered.load().step_samples == (
        StepSample(prompt=40, context=10.0, decodes=2, kv_tokens=15, seconds=0.5),
        StepSample(prompt=0, context=0.0, decodes=1, kv_tokens=8, seconds=0.25),
    )
    assert metered.load().step_samples == ()
    metered.meter.measure(Step((piece(30, 0),)), 0.5)
    for _ in range(3 * MAX_SAMPLES):
        metered.meter.measure(Step((piece(1, 7),)), 0.25)
    prompts = [sample.prompt for sample in metered.load().step_samples]
    assert prompts == [30] + MAX_SAMPLES * [0], "a prompt is not crowded out by decode steps"


def test_what_the_roles_say_is_added_up() -> None:
    """Reservations, tokens that wait for their prefix, pulls, and the part of each gateway."""
    first, second = Metered(20), Metered(20)
    pull = PullSample(IDENTITY, 64, 0.1)
    first.role.said = RoleLoad({GATEWAY: OwnLoad(5, 1)}, reserved=1, pulls=(pull,))
    second.role.said = RoleLoad({GATEWAY: OwnLoad(2, 2), OTHER: OwnLoad(0, 1)}, reserved=2, queued_tokens=7)
    meter = LoadMeter(first.engine, [first.role, second.role])
    load, own = meter.read(0.0)
    assert (load.reserved, load.queued_tokens, load.pull_samples) == (3, 7, (pull,))
    assert own == {GATEWAY: OwnLoad(7, 3), OTHER: OwnLoad(0, 1)}


def test_counting_blocks_does_not_look_at_each() -> None:
    """Blocks by owner are kept up to date as they change hands; check() compares them with a count."""
    metered = Metered(blocks=50)
    metered.engine.pool.take(Owner.pinned(TransferId("t")), (), 20)
    metered.engine.pool.check()
    assert dict(metered.load().held_blocks)["pinned"] == 20
