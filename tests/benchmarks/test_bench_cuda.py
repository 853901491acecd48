"""What of the device benchmark can be known without a device."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import cuda
from benchmarks.cuda_loop import Committed, EngineLoop, busy_share, full_gaps_s, loaded_engine
from benchmarks.library_peer import NAME as LIBRARY
from benchmarks.model_8b import LAYERS, step_bytes
from benchmarks.report import Row
from engine.modelled_runner import ModelledRunner, StepCost
from engine.runner import RunnerFacts


def test_without_a_device_it_says_so_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and nothing is measured in its place."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["cuda"])
    assert cuda.main() == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and "CUDA" in err


@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_loop_ends_when_all_have_answered(lookahead: int) -> None:
    """Every request gets its tokens, with a step in flight beyond the one waited for or without."""
    facts = RunnerFacts("fake", "cell", 64, 100, 4, "0" * 64, lookahead=1)
    engine = loaded_engine(ModelledRunner(facts, 40, StepCost()), [[1, 2, 3], [4, 5]], 6, 64)
    done = EngineLoop(engine, lookahead).run(100)
    assert sum(one.slices for one in done) == 12
    assert len(full_gaps_s(done, 2)) == 4
    assert engine.running == engine.waiting == ()


def test_only_gaps_between_full_decode_steps_count() -> None:
    """A prompt between two of them, or a batch that has shrunk, is left out."""
    steps = [(0.0, 2, False), (1.0, 2, True), (3.0, 2, True), (4.0, 3, False), (5.0, 2, True), (9.0, 1, True)]
    assert full_gaps_s([Committed(*one) for one in steps], 2) == [2.0]


def test_overlapping_kernels_are_busy_once() -> None:
    """Busy is the union of the spans, over the time from the first to the last."""
    assert busy_share([(0.0, 2.0), (1.0, 3.0), (5.0, 10.0), (6.0, 7.0)]) == pytest.approx(0.8)


def test_a_step_reads_eight_billion_weights_and_all_kv() -> None:
    """15 GB of weights without the embedding table, and 131 KB of KV per token."""
    assert step_bytes(LAYERS, 0, 0) == pytest.approx(15.0e9, rel=0.01)
    assert step_bytes(LAYERS, 2, 100) - step_bytes(LAYERS, 0, 0) == 2 * 100 * 131072


def test_targets_are_held_against_floor_and_peer() -> None:
    """60 % of the floor, and twice the peer; an absent peer gives no target."""
    rows = [
        Row(cuda.WORK, cuda.AHEAD, "decode step p50", 6.0, "ms"),
        Row(cuda.WORK, cuda.AHEAD, "floor / step", 0.7, ""),
        Row(cuda.WORK, cuda.ALONE, "floor / step", 0.1, ""),
    ]
    assert [(one.value, one.met) for one in cuda.reaches(rows)] == [(0.7, True)]
    rows.append(Row(cuda.WORK, LIBRARY, "decode step p50", 9.0, "ms"))
    assert [(one.value, one.met) for one in cuda.reaches(rows)] == [(0.7, True), (1.5, False)]
