"""Traces are read as published; what is wrong with a file is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import InvalidRequest
from replay.trace import TraceRequest
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


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no requests"),
        ("not json\n", "line 1"),
        (LINES + '{"timestamp": 1}\n', "line 3.*input_length"),
        (LINES + '{"timestamp": 1, "input_leng', "line 3"),
        ('{"timestamp": 0, "input_length": -4, "output_length": 1, "hash_ids": [0]}', "line 1.*input_length"),
        ('{"timestamp": 0, "input_length": 600, "output_length": 1, "hash_ids": [0]}', "2 blocks of 512"),
        ("TIMESTAMP,ContextTokens\n", "no column GeneratedTokens"),
        (AZURE + "2023-11-16 18:15:51,1\n", "line 4: cells are missing"),
        (AZURE + "2023-11-16 18:15:51,1,few\n", "line 4.*few"),
        (AZURE + "2023-11-16 18:15:51,1,-1\n", "line 4.*negative"),
        (AZURE + "yesterday,1,1\n", "line 4.*yesterday"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    """A typed error with the file, the line and the reason, in either format."""
    (tmp_path / "odd.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=rf"odd\.jsonl.*{complaint}"):
        read_trace(tmp_path / "odd.jsonl")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """A folder, a file that is not there, bytes."""
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    for name in (".", "absent.jsonl", "bytes.csv"):
        with pytest.raises(InvalidRequest, match="not a request trace"):
            read_trace(tmp_path / name)


def test_azure_times_with_a_zone(tmp_path: Path) -> None:
    """As in the traces of 2024, where whole seconds have no fraction."""
    rows = "2024-05-10 00:00:00.500000+00:00,5,1\n2024-05-10 00:00:02+00:00,5,1\n"
    (tmp_path / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows, encoding="utf-8")
    assert [one.arrival_s for one in read_trace(tmp_path / "trace.csv")] == [0.0, 1.5]


def test_the_format_is_known_by_its_content(tmp_path: Path) -> None:
    """A CSV under another name is read as one."""
    (tmp_path / "trace.txt").write_text(AZURE, encoding="utf-8")
    assert len(read_trace(tmp_path / "trace.txt")) == 2
