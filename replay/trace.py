"""Request traces: Mooncake's JSON lines, and Azure's CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from protocol.errors import InvalidRequest

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


class _MooncakeLine(msgspec.Struct):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: list[int]


def read_trace(path: Path) -> tuple[TraceRequest, ...]:
    """In order of arrival. Raises InvalidRequest if the file is neither format."""
    try:
        found = _azure(path) if path.suffix == ".csv" else _mooncake(path)
    except (OSError, msgspec.MsgspecError, KeyError, ValueError) as wrong:
        raise InvalidRequest(f"{path}: not a request trace: {wrong}") from wrong
    if not found:
        raise InvalidRequest(f"{path}: no requests")
    return tuple(sorted(found, key=lambda request: request.arrival_s))


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


def _mooncake(path: Path) -> list[TraceRequest]:
    decode = msgspec.json.Decoder(_MooncakeLine).decode
    lines = [decode(line) for line in path.read_bytes().splitlines() if line]
    return [
        TraceRequest(
            line.timestamp / 1000.0,
            max(1, line.input_length),
            max(1, line.output_length),
            tuple(line.hash_ids[: -(-max(1, line.input_length) // BLOCK_TOKENS)]),
        )
        for line in lines
    ]


def _azure(path: Path) -> list[TraceRequest]:
    """Columns TIMESTAMP, ContextTokens, GeneratedTokens; no prefixes are known, so none are shared."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    found: list[TraceRequest] = []
    blocks = 0
    for moment, row in zip(times, rows, strict=True):
        tokens = max(1, int(row["ContextTokens"]))
        count = -(-tokens // BLOCK_TOKENS)
        chain = tuple(range(blocks, blocks + count))
        blocks += count
        found.append(TraceRequest(moment - min(times), tokens, max(1, int(row["GeneratedTokens"])), chain))
    return found
