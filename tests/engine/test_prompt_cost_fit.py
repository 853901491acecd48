"""What a step of prompts costs apart from its tokens is learnt, or is not believed to be known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompt_cost_fit import PromptCostFit
from engine.step_times import StepTimes


@given(st.floats(0.0001, 0.1), st.floats(1e-7, 1e-3))
def test_the_fixed_part_is_found(fixed: float, a_token: float) -> None:
    """From steps of different sizes, however fast the engine is."""
    fit = PromptCostFit()
    for tokens in (512, 1024, 512, 2048, 512):
        seconds = fixed + tokens * a_token
        fit.observe(tokens, seconds, seconds)
    assert fit.cost is not None
    assert fit.cost.fixed_tokens == pytest.approx(fixed / a_token, rel=1e-3, abs=1.0)
    assert fit.cost.token_s == pytest.approx(a_token, rel=1e-3)


def test_steps_of_one_size_tell_nothing() -> None:
    """Nothing is known before a step of another size was seen; what was known is kept."""
    fit = PromptCostFit()
    for _ in range(9):
        fit.observe(512, 0.024, 0.024)
    assert fit.cost is None
    fit.observe(2048, 0.049, 0.049)
    known = fit.cost
    assert known is not None
    for _ in range(500):
        fit.observe(512, 0.024, 0.024)
    assert fit.cost.fixed_tokens == pytest.approx(known.fixed_tokens, rel=0.1)


@given(st.lists(st.tuples(st.integers(16, 9000), st.floats(0.0, 2.0)), max_size=40))
def test_odd_measurements_do_no_harm(steps: list[tuple[int, float]]) -> None:
    """Whatever a clock says, the answer is a number that can be used, or none."""
    fit = PromptCostFit()
    for tokens, seconds in steps:
        fit.observe(tokens, seconds, seconds)
    assert fit.cost is None or 0.0 <= fit.cost.fixed_tokens < float("inf")


def test_a_slow_start_is_forgotten() -> None:
    """Steps that make the fixed part look longer than any step may be leave only small ones, all of one size:
    these must be able to put it right."""
    times = StepTimes()
    times.observe(0, 256, 8.0)
    times.observe(0, 100, 5.0)
    for _ in range(400):
        tokens = times.prompt_budget(0, 0.5, 16, 2048)
        times.observe(0, tokens, 0.01 + 0.0005 * tokens)
    assert times.prompt_budget(0, 0.5, 16, 2048) == pytest.approx((0.5 - 0.01) / 0.0005, rel=0.1)


def test_little_prompts_beside_a_batch_are_not_believed_more_than_their_steps() -> None:
    """What is left when the batch's time is taken away may be next to nothing, by chance."""
    fit, noise = PromptCostFit(), random.Random(1)
    for _ in range(2000):
        tokens = noise.choice((16, 64, 256))
        seconds = max(0.0, 0.0002 + 0.00002 * tokens + noise.gauss(0.0, 0.0005))
        fit.observe(tokens, seconds, 0.01 + seconds)
    assert fit.cost is not None
    assert fit.cost.token_s == pytest.approx(0.00002, rel=0.3)
