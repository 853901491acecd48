"""Deltas of one attempt that are joined."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.delta_run import joined
from protocol.ids import AttemptKey, RequestId
from protocol.messages import FinishReason, TokenDelta

KEY = AttemptKey(RequestId("r"), 1)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3), min_size=1, max_size=5))
def test_a_run_says_what_its_deltas_said(pieces: list[list[int]]) -> None:
    """All tokens in order, from where the first began; the end is that of the last."""
    run, index = [], 7
    for piece in pieces:
        run.append(TokenDelta(KEY, index, tuple(piece)))
        index += len(piece)
    run.append(TokenDelta(KEY, index, (3,), finish=FinishReason.STOP))
    whole = joined(run)
    assert whole.first_index == 7
    assert list(whole.tokens) == [*(token for piece in pieces for token in piece), 3]
    assert whole.finish is FinishReason.STOP
    assert joined(run[:1]) == run[0]
