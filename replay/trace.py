"""Requests of a trace, and how a trace is stretched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_TOKENS = 512
"""Tokens of one hash id."""


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """One request of a trace."""

    arrival_s: float
    input_tokens: int
    output_tokens: int
    chain: tuple[int, ...]
    """One id per block of the prompt, the last perhaps partial; equal ids mean equal prefixes."""


def scaled(
    requests: Sequence[TraceRequest], rate: float | None, count: int | None
) -> tuple[TraceRequest, ...]:
    """`count` requests, the trace repeated with fresh ids where it is too short, at `rate` a second on
    average (None: as recorded)."""
    wanted = count or len(requests)
    span = _span_s(requests)
    factor = 1.0 if rate is None else len(requests) / span / rate
    fresh = 1 + max((max(request.chain, default=0) for request in requests), default=0)
    return tuple(
        TraceRequest(
            (one.arrival_s + turn * span) * factor,
            one.input_tokens,
            one.output_tokens,
            tuple(block + turn * fresh for block in one.chain) if turn else one.chain,
        )
        for turn, one in ((i // len(requests), requests[i % len(requests)]) for i in range(wanted))
    )


def _span_s(requests: Sequence[TraceRequest]) -> float:
    """From the first arrival to the one after the last, at the average distance."""
    between = requests[-1].arrival_s - requests[0].arrival_s
    return max(between * len(requests) / max(1, len(requests) - 1), 1e-3)
