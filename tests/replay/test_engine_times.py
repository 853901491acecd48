"""Modelled steps take what Dynamo's mock engine says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.engine_times import EngineTimes


def test_published_formulas() -> None:
    """Values by hand."""
    times = EngineTimes()
    assert times.prefill_s(1000) == pytest.approx((0.42100 + 15.18344 + 16.50142) / 1000, rel=1e-4)
    assert times.decode_s(0.0) == pytest.approx(0.00574)
    assert times.decode_s(1.0) == pytest.approx(0.03401)
    assert times.prefill_s(0) == 0.0


@given(st.integers(1, 255), st.floats(0.0, 1.0))
def test_chunks_keep_the_step_bound(running: int, used: float) -> None:
    """A chunk beside a batch keeps the step within its bound, unless it is the smallest there is."""
    times = EngineTimes()
    chunk = times.chunk_beside(running, used)
    assert chunk == times.least_chunk or times.prefill_s(chunk) + times.decode_s(used) <= times.max_step_s
