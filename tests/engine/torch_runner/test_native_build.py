"""The kernels are built once, and their absence is told and survived."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.torch_runner.build_native import main
from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.library import load_native


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("BATON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_two_builders_at_once_agree(empty_cache: Path) -> None:
    """Both end with the same whole library, a third finds it untouched, and nothing else is left."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: built_library(), range(2))
    assert first == second
    written = first.stat().st_mtime_ns
    assert built_library().stat().st_mtime_ns == written
    assert [path.name for path in empty_cache.iterdir()] == [first.name]
    assert load_native(1) is not None


def test_without_a_compiler_it_is_said_and_survived(
    empty_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line in the log names the reason; the installer goes on."""
    monkeypatch.setenv("PATH", str(empty_cache))
    monkeypatch.delenv("CXX", raising=False)
    with caplog.at_level(logging.WARNING):
        assert load_native(1) is None
    assert [record.getMessage() for record in caplog.records] == [
        "no native kernels, so the slower torch ones run instead: "
        "there is no C++ compiler (c++, g++, clang++)"
    ]
    assert main() == 0
    assert "no C++ compiler" in capsys.readouterr().err


def test_a_compiler_that_fails_is_said(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the compiler says is in the log, and nothing half-made stays."""
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no OpenMP here >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with caplog.at_level(logging.WARNING):
        assert load_native(1) is None
    assert "no OpenMP here" in caplog.text
    assert os.listdir(empty_cache) == []


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file in the way of the cache folder is a reason like any other."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BATON_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert load_native(1) is None
    assert "cannot be written" in caplog.text
