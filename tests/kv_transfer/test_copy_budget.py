"""The copy budget keeps copying within its share of a step, and never starves a transfer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kv_transfer.copy_budget import CopyBudget, CopyCost

MB = 1 << 20
BUDGET = CopyBudget(post_bytes=4 * MB)


def test_without_a_measurement_one_post_is_allowed() -> None:
    """Before anything was copied the speed is unknown, so one post is tried."""
    assert BUDGET.bytes_for(CopyCost(), step_s=1.0) == 4 * MB


def test_a_tenth_of_a_long_step_is_used() -> None:
    """At 1 GB/s a step of 200 ms has room for 20 MB."""
    cost = CopyCost().plus(100_000_000, 0.1)
    assert BUDGET.bytes_for(cost, step_s=0.2) == 20_000_000


def test_a_short_step_still_allows_one_post() -> None:
    """A tenth of a fast step would be less than a post: one is allowed all the same."""
    cost = CopyCost().plus(100_000_000, 0.1)
    assert BUDGET.bytes_for(cost, step_s=0.001) == 4 * MB


def test_posts_that_cost_nothing_are_bounded() -> None:
    """Where another device copies, the bound is max_posts."""
    assert BUDGET.bytes_for(CopyCost(1e9, 0.0), step_s=0.01) == 16 * 4 * MB


def test_what_is_in_flight_counts() -> None:
    """Bytes already posted use up the allowance."""
    assert BUDGET.bytes_for(CopyCost(), 1.0, in_flight_bytes=3 * MB) == 1 * MB
    assert BUDGET.bytes_for(CopyCost(), 1.0, in_flight_bytes=9 * MB) == 0


def test_new_measurements_outweigh_old_ones() -> None:
    """After a change of speed a hundred posts tell the new one."""
    cost = CopyCost()
    for _ in range(100):
        cost = cost.plus(4 * MB, 0.001)
    for _ in range(100):
        cost = cost.plus(4 * MB, 0.004)
    assert 0.95 < (cost.bytes / cost.seconds) / (4 * MB / 0.004) < 1.05


@given(
    copied=st.integers(0, 1 << 40),
    seconds=st.floats(0, 1e4),
    step_s=st.floats(0, 1e4),
    flying=st.integers(0, 1 << 40),
)
def test_the_budget_stays_within_its_bounds(copied: int, seconds: float, step_s: float, flying: int) -> None:
    """Never negative, never above max_posts, never below one post when nothing is in flight."""
    cost = CopyCost().plus(copied, seconds)
    assert 0 <= BUDGET.bytes_for(cost, step_s, flying) <= 16 * 4 * MB
    assert BUDGET.bytes_for(cost, step_s) >= 4 * MB
