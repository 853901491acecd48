"""Traces are read as published, and stretched without inventing tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import InvalidRequest
from replay.trace import TraceRequest, scaled
from replay.trace_file import read_trace

LINES = """{"timestamp": 2000, "input_length": 600, "output_length": 5, "hash_ids": [0, 2]}
{"timestamp": 0, "input_length": 512, "output_length": 7, "hash_ids": [0]}
"""
AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,1396,109
"""


def test_mooncake_lines(tmp_path: Path) -> None:
    """Milliseconds become seconds, and requests come in order of arrival."""
    (tmp_path / "trace.jsonl").write_text(LINES, encoding="utf-8")
    first, second = read_trace(tmp_path / "trace.jsonl")
    assert first == TraceRequest(0.0, 512, 7, (0,))
    assert second == TraceRequest(2.0, 600, 5, (0, 2))


def test_azure_csv(tmp_path: Path) -> None:
    """Times count from the first row; no two requests share a prefix."""
    (tmp_path / "trace.csv").write_text(AZURE, encoding="utf-8")
    first, second = read_trace(tmp_path / "trace.csv")
    assert (first.arrival_s, first.input_tokens, first.output_tokens) == (0.0, 374, 44)
    assert second.arrival_s == pytest.approx(4.3146, abs=1e-3)
    assert not set(first.chain) & set(second.chain) and len(second.chain) == 3


@pytest.mark.parametrize("text", ["", "not json\n", '{"timestamp": 1}\n'])
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    """A typed error that names the file."""
    (tmp_path / "odd.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"odd\.jsonl"):
        read_trace(tmp_path / "odd.jsonl")


def test_tiling_uses_fresh_ids_and_keeps_the_rate() -> None:
    """A longer replay repeats lengths and sharing, not the blocks themselves."""
    trace = tuple(TraceRequest(float(i), 600, 5, (0, i + 1)) for i in range(10))
    long = scaled(trace, 4.0, 35)
    assert len(long) == 35
    assert long[10].chain[0] == long[19].chain[0] != long[0].chain[0]
    assert not set(long[0].chain) & set(long[10].chain)
    assert long[-1].arrival_s == pytest.approx(34 / 4.0, rel=0.01)
