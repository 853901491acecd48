"""Deltas of one attempt that go on where the one before ends, as one: at the worker and at the gateway."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from itertools import chain

from protocol.messages import TokenDelta


def joined(run: Seq[TokenDelta]) -> TokenDelta:
    """`run`: at least one, in order and without gaps."""
    first = run[0]
    if len(run) == 1:
        return first
    return TokenDelta(
        key=first.key,
        first_index=first.first_index,
        tokens=tuple(chain.from_iterable([delta.tokens for delta in run])),
        logprobs=tuple(chain.from_iterable([delta.logprobs for delta in run])),
        finish=run[-1].finish,
        cached_tokens=first.cached_tokens,
        stamps=tuple(chain.from_iterable([delta.stamps for delta in run])),
    )
