"""What benchmarks print."""

from __future__ import annotations

import json

from benchmarks.report import Report, Row, at_least, at_most

ROWS = (
    Row("decode", "ours", "ITL p50", 12.3456789, "ms"),
    Row("decode", "theirs", "ITL p50", 24.0, "ms"),
    Row("prefill", "ours", "TTFT", 100.0, "ms"),
)


def test_the_last_line_is_one_json_object() -> None:
    """Whoever reads a benchmark by machine takes the last line and needs nothing else."""
    report = Report("engine", "a box", ROWS, (at_least("decode", "ratio", 2.0, 1.5),), absent=("theirs",))
    found = json.loads(report.text().splitlines()[-1])
    assert found["bench"] == "engine"
    assert found["hardware"] == "a box"
    assert found["rows"][0] == {
        "work": "decode", "system": "ours", "metric": "ITL p50", "value": 12.346, "unit": "ms",
    }  # fmt: skip
    assert found["reach"] == [{"work": "decode", "metric": "ratio", "value": 2.0, "target": 1.5, "met": True}]
    assert found["absent"] == ["theirs"]


def test_systems_stand_side_by_side_and_a_gap_stays_empty() -> None:
    """One line a work and metric; what was not measured is not filled in."""
    lines = [line for line in Report("engine", "a box", ROWS, ()).text().splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["work", "metric", "ours", "theirs", "unit"]
    assert cells[2] == ["decode", "ITL p50", "12.35", "24", "ms"]
    assert cells[3] == ["prefill", "TTFT", "100", "", "ms"]


def test_reach_counts_the_target_itself() -> None:
    """A target is met when it is reached exactly, from either side."""
    assert at_least("w", "m", 1.5, 1.5).met
    assert not at_least("w", "m", 1.49, 1.5).met
    assert at_most("w", "m", 1.5, 1.5).met
    assert not at_most("w", "m", 1.51, 1.5).met
