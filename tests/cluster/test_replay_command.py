"""`baton replay` from a file to a table."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from cluster.cli import app

SPEC = """
pools:
  prefill: {replicas: 1}
  decode: {replicas: 2}
scheduling: {max_batch_tokens: 8192, max_running: 256, max_step_ms: 50}
"""
LINE = '{{"timestamp": {ms}, "input_length": 1000, "output_length": 5, "hash_ids": [0, {block}]}}\n'


def test_a_trace_gives_a_table(tmp_path: Path) -> None:
    """TTFT, ITL, goodput, hits and share disaggregated are printed, the same each time."""
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    lines = "".join(LINE.format(ms=100 * i, block=i + 1) for i in range(30))
    (tmp_path / "trace.jsonl").write_text(lines, encoding="utf-8")
    words = ["replay", str(tmp_path / "trace.jsonl"), "--spec", str(tmp_path / "spec.yaml")]
    done = CliRunner().invoke(app, [*words, "--policy", "dynamo", "--requests", "50", "--rate", "20"])
    again = CliRunner().invoke(app, [*words, "--policy", "dynamo", "--requests", "50", "--rate", "20"])
    assert done.exit_code == 0, done.stderr
    assert done.stdout == again.stdout
    for word in ("TTFT", "ITL", "goodput", "prefix hits", "disaggregated"):
        assert word in done.stdout


def test_without_a_spec(tmp_path: Path) -> None:
    """The default spec, with the pools of the command line; what ran is said."""
    lines = "".join(LINE.format(ms=100 * i, block=i + 1) for i in range(5))
    (tmp_path / "trace.jsonl").write_text(lines, encoding="utf-8")
    done = CliRunner().invoke(
        app, ["replay", str(tmp_path / "trace.jsonl"), "--prefill", "2", "--decode", "3"]
    )
    assert done.exit_code == 0, done.stderr
    assert "ours on 2 prefill and 3 decode workers" in done.stdout


def test_a_missing_trace_is_one_sentence(tmp_path: Path) -> None:
    """On standard error, status 1."""
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    done = CliRunner().invoke(app, ["replay", "none.jsonl", "--spec", str(tmp_path / "spec.yaml")])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: none.jsonl: not a request trace")
