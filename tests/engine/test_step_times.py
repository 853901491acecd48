"""Chunks are cut so that a mixed step stays within its target, as far as was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.engine import Engine
from engine.modelled_runner import StepCost
from engine.schedule import SchedulePolicy
from engine.step_times import StepTimes
from tests.engine.modelled import assignment, modelled_engine

COST = StepCost()


def seconds(decodes: int, prompt: int) -> float:
    """What a step of this shape takes in the model of the tests."""
    return 0.02 + 0.0005 * decodes + 0.001 * prompt


def test_only_what_was_measured_is_predicted() -> None:
    """Long prompts and single tokens each have to be seen once; before that nothing is promised."""
    times = StepTimes()
    assert times.predict_s(1, 0) is None
    times.observe(2, 0, 0.02)
    assert times.predict_s(1, 0) == 0.02
    assert times.predict_s(2, 100) is None
    times.observe(2, 100, 0.12)
    assert times.predict_s(2, 200) == pytest.approx(0.02 + 200 * 0.001)


def test_short_prompts_do_not_make_long_ones_crawl() -> None:
    """What a step costs apart from its tokens is not taken for the price of a token: a long prompt beside a
    batch is not cut to pieces because short ones came before it."""
    times = StepTimes()
    for prompt in (1000, 17, 20, 40, 17, 25, 30, 18):
        times.observe(0, prompt, 0.0165 + 0.000015 * prompt)
    assert times.prompt_budget(0, 0.05, 16, 8192) == pytest.approx((0.05 - 0.0165) / 0.000015, rel=0.05)
    assert times.predict_s(0, 8000) == pytest.approx(0.0165 + 0.12, rel=0.05)


def test_without_measurements_the_whole_budget_is_used() -> None:
    """A fresh engine does not guess."""
    assert StepTimes().prompt_budget(4, 0.1, 16, 512) == 512


@given(st.integers(1, 32), st.integers(16, 512), st.floats(0.05, 1.0))
def test_a_mixed_step_stays_within_its_target(decodes: int, prompt: int, target: float) -> None:
    """Once both kinds of step were seen, the predicted step is no longer than the target, unless
    the least chunk alone is."""
    times = StepTimes()
    for _ in range(50):
        times.observe(decodes, 0, seconds(decodes, 0))
        times.observe(decodes, prompt, seconds(decodes, prompt))
    budget = times.prompt_budget(decodes, target, 16, 512)
    assert 16 <= budget <= 512
    assert seconds(decodes, budget) <= target * 1.01 or budget == 16


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 600), st.floats(0.0, 2.0)), max_size=40))
def test_whatever_was_measured_the_budget_is_within_its_bounds(steps: list[tuple[int, int, float]]) -> None:
    """Odd measurements never stop prompts, nor lift the ceiling."""
    times = StepTimes()
    for decodes, prompt, took in steps:
        times.observe(decodes, prompt, took)
    assert 16 <= times.prompt_budget(8, 0.5, 16, 512) <= 512


def test_prompts_are_computed_together_as_far_as_that_is_sooner() -> None:
    """Nothing is bounded before it was measured. A few tokens cost little beside the fixed part of a step;
    more are taken when more wait."""
    times = StepTimes()
    assert times.prompts_together(4096) is None
    for tokens in (500, 1000, 2000):
        times.observe(0, tokens, 0.02 + tokens * 2e-5)  # the fixed part is worth 1000 tokens
    few, some, many = (times.prompts_together(queued) for queued in (100, 4000, 40_000))
    assert few == pytest.approx(2000, rel=0.01)
    assert some == pytest.approx(3000, rel=0.01)
    assert many == pytest.approx(9487, rel=0.01)


def test_an_engine_learns_not_to_make_the_first_wait_for_the_last() -> None:
    """Prompts that wait at the same time are computed in several steps, so first tokens come sooner."""
    policy = SchedulePolicy(max_batch_tokens=4096)
    engine = modelled_engine(4000, 4, policy)
    sizes: list[int] = []
    for number, crowd in enumerate((1, 2, 3, 12)):
        for place in range(crowd):
            prompt = tuple((number * 100 + place) * 300 + token for token in range(300))
            engine.admit(engine.sequence(assignment(f"{number}-{place}", prompt, max_tokens=1), 1))
        sizes = []
        while engine.waiting:
            before = len(engine.waiting)
            play(engine)
            sizes.append(before - len(engine.waiting))
    assert len(sizes) > 2
    assert sum(sizes) == 12


def test_an_engine_learns_to_cut_prompts_beside_a_batch() -> None:
    """A long prompt beside running sequences is chunked to `max_step_s`."""
    policy = SchedulePolicy(max_batch_tokens=512, max_step_s=COST.base_s + 0.003)
    engine = modelled_engine(400, 4, policy)
    engine.admit(engine.sequence(assignment("decoder", tuple(range(20)), max_tokens=200), 200))
    for _ in range(20):
        play(engine)
    engine.admit(engine.sequence(assignment("first", tuple(range(400)), max_tokens=1), 1))
    while len(engine.running) + len(engine.waiting) > 1:
        play(engine)
    engine.admit(engine.sequence(assignment("second", tuple(range(500, 900)), max_tokens=1), 1))
    longest = 0.0
    while len(engine.running) + len(engine.waiting) > 1:
        longest = max(longest, play(engine))
    assert longest <= policy.max_step_s * 1.1


def play(engine: Engine) -> float:
    """One step; returns its seconds."""
    step = engine.plan()
    if step is None:
        return 0.0
    pending = engine.runner.launch(step)
    engine.commit(step, pending.result())
    engine.release_ended()
    return pending.seconds
