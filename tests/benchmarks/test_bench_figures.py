"""From times of arrival to figures."""

from __future__ import annotations

import pytest

from benchmarks.figures import (
    Answer,
    NeverTogether,
    batch_gaps_s,
    batch_tokens_per_s,
    gaps_s,
    own_tokens_per_s,
    percentile,
)
from benchmarks.model_047b import decode_bytes, prefill_flops
from benchmarks.prompts import prompts


def test_percentile_is_the_nearest_rank() -> None:
    """A percentile is a value that was measured, never one in between."""
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([3.0], 0.99) == 3
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_only_the_full_batch_counts() -> None:
    """Steps before the last prompt is through, and after the first answer has ended, are left out."""
    early = Answer(0.0, (1.0, 2.0, 3.0, 4.0), 4)
    late = Answer(0.0, (2.0, 3.0, 4.0, 9.0), 4)
    assert batch_gaps_s([early, late]) == [1.0, 1.0, 1.0, 1.0]
    assert batch_tokens_per_s([early, late]) == 2.0
    assert gaps_s([early, late]) == [1.0, 1.0, 1.0, 1.0, 1.0, 5.0]
    assert own_tokens_per_s([early, late]) == 6 / 8
    assert late.ttft_s == 2.0


def test_a_batch_that_was_never_full_is_told() -> None:
    """No figure is made of answers that came one after another."""
    with pytest.raises(NeverTogether):
        batch_gaps_s([Answer(0.0, (1.0, 2.0), 2), Answer(0.0, (3.0, 4.0), 2)])


def test_parts_that_hold_several_tokens_count_as_such() -> None:
    """Throughput goes by the tokens that the server counted, not by its events."""
    assert batch_tokens_per_s([Answer(0.0, (1.0, 2.0, 3.0), 6)]) == 4 / 2


def test_prompts_are_the_same_every_time_and_share_nothing() -> None:
    """Every system gets the same prompts, and no prefix cache can help one of them."""
    first, again, other = prompts("a", 4, 16), prompts("a", 4, 16), prompts("b", 4, 16)
    assert first == again
    assert len({tuple(one[:4]) for one in first + other}) == 8
    assert all(256 <= token < 32768 for one in first for token in one)


def test_the_model_is_as_large_as_it_is_said_to_be() -> None:
    """The floors are computed from 474 M parameters in two bytes each."""
    assert decode_bytes(0, 0) / 2 == pytest.approx(474e6, rel=0.001)
    assert decode_bytes(1, 1536) - decode_bytes(0, 0) == pytest.approx(176e6, rel=0.01)
    assert prefill_flops(1536) == pytest.approx(1.62e12, rel=0.02)
