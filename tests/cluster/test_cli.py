"""The `baton` command line: what fails fast, and how."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli import app


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No cluster of anybody's is seen."""
    with tempfile.TemporaryDirectory(prefix="bt", dir="/tmp") as folder:
        monkeypatch.setenv("BATON_RUN_DIR", folder)
        yield


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["up", "none.yaml"], "none.yaml cannot be read"),
        (["up", "--model", "/nowhere"], "there is no model folder /nowhere"),
        (["up", "--engine", "modelled", "--speedup", "0"], "--speedup 0: write a number of 0.001 to 100000"),
        (["up", "--speedup", "nan"], "--speedup nan: write a number"),
        (["up", "--speedup", "2"], "mock: it is for modelled engines only; write `engine: modelled`"),
        (["status"], "no cluster is running; start one with `baton up`"),
        (["chat", "--message", "hi"], "no cluster is running; start one with `baton up`"),
        (["down"], "no cluster is running"),
    ],
)
def test_failure_is_one_sentence_and_status_1(arguments: list[str], sentence: str) -> None:
    """Whatever cannot work says so in one line on standard error, without a traceback."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {sentence}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_misspelt_key_is_explained(tmp_path: Path) -> None:
    """A spec's error names file, key and the key that was meant."""
    spec = tmp_path / "s.yaml"
    spec.write_text("gatway: {}\n")
    done = CliRunner().invoke(app, ["up", str(spec)])
    assert done.exit_code == 1
    assert done.stderr == f"error: {spec}: unknown key gatway; did you mean gateway?\n"


def test_option_is_checked_like_the_spec(tmp_path: Path) -> None:
    """What the command line overrides must still fit the rest of the spec."""
    spec = tmp_path / "s.yaml"
    spec.write_text("pools: {decode: {cores: [0]}}\n")
    done = CliRunner().invoke(app, ["up", str(spec), "--decode", "2"])
    assert done.exit_code == 1
    assert "pools.decode.cores: 1 cores cannot be shared out" in done.stderr
