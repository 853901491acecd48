"""Traces are stretched without inventing tokens."""

from __future__ import annotations

import pytest

from replay.trace import TraceRequest, scaled


def test_tiling_uses_fresh_ids_and_keeps_the_rate() -> None:
    """A longer replay repeats lengths and sharing, not the blocks themselves."""
    trace = tuple(TraceRequest(float(i), 600, 5, (0, i + 1)) for i in range(10))
    long = scaled(trace, 4.0, 35)
    assert len(long) == 35
    assert long[10].chain[0] == long[19].chain[0] != long[0].chain[0]
    assert not set(long[0].chain) & set(long[10].chain)
    assert long[-1].arrival_s == pytest.approx(34 / 4.0, rel=0.01)
