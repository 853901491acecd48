"""What a step of prompts costs apart from its tokens is learnt, or is not believed to be known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompt_cost_fit import PromptCostFit


@given(st.floats(0.0001, 0.1), st.floats(1e-7, 1e-3))
def test_the_fixed_part_is_found(fixed: float, a_token: float) -> None:
    """From steps of different sizes, however fast the engine is."""
    fit = PromptCostFit()
    for tokens in (512, 1024, 512, 2048, 512):
        fit.observe(tokens, fixed + tokens * a_token)
    assert fit.cost is not None
    assert fit.cost.fixed_tokens == pytest.approx(fixed / a_token, rel=1e-3, abs=1.0)
    assert fit.cost.token_s == pytest.approx(a_token, rel=1e-3)


def test_steps_of_one_size_tell_nothing() -> None:
    """Nothing is known before a step of another size was seen; what was known is kept."""
    fit = PromptCostFit()
    for _ in range(9):
        fit.observe(512, 0.024)
    assert fit.cost is None
    fit.observe(2048, 0.049)
    known = fit.cost
    assert known is not None
    for _ in range(500):
        fit.observe(512, 0.024)
    assert fit.cost.fixed_tokens == pytest.approx(known.fixed_tokens, rel=0.1)


@given(st.lists(st.tuples(st.integers(16, 9000), st.floats(0.0, 2.0)), max_size=40))
def test_odd_measurements_do_no_harm(steps: list[tuple[int, float]]) -> None:
    """Whatever a clock says, the answer is a number that can be used, or none."""
    fit = PromptCostFit()
    for tokens, seconds in steps:
        fit.observe(tokens, seconds)
    assert fit.cost is None or 0.0 <= fit.cost.fixed_tokens < float("inf")
