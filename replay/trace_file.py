"""Request traces from files: Mooncake's JSON lines, and Azure's CSV."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Annotated

import msgspec

from protocol.errors import InvalidRequest
from replay.trace import BLOCK_TOKENS, TraceRequest

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
"""Of Azure's CSV."""
MICROSECONDS = len("2023-11-16 18:15:46.680590")

Count = Annotated[int, msgspec.Meta(ge=0)]


class _MooncakeLine(msgspec.Struct):
    timestamp: float
    input_length: Count
    output_length: Count
    hash_ids: list[int]


class _WrongLine(ValueError):
    """Its text says which line, and what is wrong with it."""


def read_trace(path: Path) -> tuple[TraceRequest, ...]:
    """In order of arrival. Raises InvalidRequest if the file is neither format."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = _azure(text) if text.startswith(COLUMNS[0]) else _mooncake(text)
    except OSError as wrong:
        raise InvalidRequest(f"{path}: not a request trace: {wrong.strerror or wrong}") from wrong
    except UnicodeDecodeError as wrong:
        raise InvalidRequest(f"{path}: not a request trace: it is not text") from wrong
    except _WrongLine as wrong:
        raise InvalidRequest(f"{path}: not a request trace: {wrong}") from wrong
    if not found:
        raise InvalidRequest(f"{path}: no requests")
    return tuple(sorted(found, key=lambda request: request.arrival_s))


def _mooncake(text: str) -> list[TraceRequest]:
    decode = msgspec.json.Decoder(_MooncakeLine).decode
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_request(decode(line)))
        except (msgspec.MsgspecError, ValueError) as wrong:
            raise _WrongLine(f"line {number}: {wrong}") from wrong
    return found


def _request(line: _MooncakeLine) -> TraceRequest:
    tokens = max(1, line.input_length)
    blocks = -(-tokens // BLOCK_TOKENS)
    if len(line.hash_ids) < blocks:
        raise ValueError(
            f"{tokens} tokens are {blocks} blocks of {BLOCK_TOKENS}, hash_ids are {len(line.hash_ids)}"
        )
    chain = tuple(line.hash_ids[:blocks])
    return TraceRequest(line.timestamp / 1000.0, tokens, max(1, line.output_length), chain)


def _azure(text: str) -> list[TraceRequest]:
    """No prefixes are known, so none are shared."""
    rows = csv.DictReader(text.splitlines())
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise _WrongLine(f"line 1: no column {', '.join(missing)}")
    found: list[tuple[datetime, int, int]] = []
    for row in rows:
        try:
            found.append(_cells(row))
        except ValueError as wrong:
            raise _WrongLine(f"line {rows.line_num}: {wrong}") from wrong
    first = min((moment for moment, _, _ in found), default=datetime.min)
    ends = list(accumulate((-(-tokens // BLOCK_TOKENS) for _, tokens, _ in found), initial=0))
    return [
        TraceRequest((moment - first) / timedelta(seconds=1), tokens, output, tuple(range(start, end)))
        for (moment, tokens, output), start, end in zip(found, ends, ends[1:], strict=False)
    ]


def _cells(row: dict[str, str | None]) -> tuple[datetime, int, int]:
    moment, tokens, output = (row[column] for column in COLUMNS)
    if moment is None or tokens is None or output is None:
        raise ValueError("cells are missing")
    if min(int(tokens), int(output)) < 0:
        raise ValueError("a number of tokens is negative")
    when = datetime.fromisoformat(moment[:MICROSECONDS]).replace(tzinfo=None)
    return when, max(1, int(tokens)), max(1, int(output))
