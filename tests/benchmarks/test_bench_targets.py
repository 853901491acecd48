"""What is compared with what."""

from __future__ import annotations

from benchmarks.control_plane import reaches as control_plane_reaches
from benchmarks.control_plane_work import alone_work, crowd_work
from benchmarks.conversations import reusable
from benchmarks.engine import OURS
from benchmarks.engine import reaches as engine_reaches
from benchmarks.engine_work import Sizes, decode_work, long_work, prefill_work
from benchmarks.interference import APART
from benchmarks.interference import reaches as interference_reaches
from benchmarks.interference_work import QUIET, loud_work
from benchmarks.library_peer import NAME as LIBRARY
from benchmarks.peer_vllm import BOTH_SMALL, DEFAULT
from benchmarks.report import Row

SIZES = Sizes(decode_batches=(1,), prefill_lengths=(512,))


def rate(work: str, system: str, value: float) -> Row:
    """A measured throughput."""
    return Row(work, system, "throughput", value, "tokens/s")


def test_the_engine_is_held_against_the_best_setting_of_each_work() -> None:
    """A peer's setting that is good at one thing only counts there."""
    rows = [
        rate(decode_work(1), OURS, 30.0), rate(decode_work(1), DEFAULT, 20.0),
        rate(decode_work(1), BOTH_SMALL, 10.0),
        rate(prefill_work(512), OURS, 30.0), rate(prefill_work(512), DEFAULT, 10.0),
        rate(prefill_work(512), BOTH_SMALL, 40.0),
        rate(long_work(SIZES), OURS, 100.0), rate(long_work(SIZES), LIBRARY, 10.0),
    ]  # fmt: skip
    found = {one.work: (one.value, one.met) for one in engine_reaches(rows, SIZES)}
    assert found == {
        decode_work(1): (1.5, True),
        prefill_work(512): (0.75, False),
        long_work(SIZES): (10.0, True),
    }


def test_an_absent_peer_gives_no_target() -> None:
    """Nothing is said in the place of a peer that is not there."""
    assert engine_reaches([rate(decode_work(1), OURS, 30.0)], SIZES) == []


def test_interference_is_held_against_the_quiet_run_and_each_peer() -> None:
    """Our quiet p50, default vLLM's p99, and the best that any setting of vLLM does."""
    work = loud_work(2.5)
    rows = [Row(QUIET, APART, "ITL p50", 50.0, "ms")]
    for system, p99, ttft, decoders in (
        (APART, 60.0, 3000.0, 70.0),
        (DEFAULT, 900.0, 2000.0, 40.0),
        (BOTH_SMALL, 240.0, 2500.0, 60.0),
    ):
        rows += [
            Row(work, system, "ITL p99", p99, "ms"),
            Row(work, system, "TTFT p50", ttft, "ms"),
            Row(work, system, "decoders", decoders, "tokens/s"),
        ]
    found = interference_reaches(rows, (2.5,))
    assert [(round(one.value, 3), one.met) for one in found] == [
        (1.2, True),
        (15.0, True),
        (4.0, True),
        (1.5, False),
        (1.167, True),
    ]
    assert len(interference_reaches(rows[:4], (2.5,))) == 1


def test_the_control_plane_is_held_against_dynamo_at_both_speeds() -> None:
    """Throughput and CPU at a hundred times the speed, time to first token in real time."""
    rows = [Row(alone_work(128), "Baton 100x", "TTFT p50", 5.0, "ms")]
    for system, rate, cpu, ttft in (("Baton", 30.0, 80.0, 60.0), ("Dynamo", 20.0, 40.0, 100.0)):
        rows += [
            Row(crowd_work(64), f"{system} 100x", "throughput", rate, "tokens/s"),
            Row(crowd_work(64), f"{system} 100x", "server CPU a token", cpu, "us"),
            Row(crowd_work(64), f"{system} 1x", "TTFT p50", ttft, "ms"),
        ]
    found = [(round(one.value, 3), one.met) for one in control_plane_reaches(rows, (16, 64))]
    assert found == [(5.0, True), (1.5, True), (2.0, False), (0.6, True)]
    assert control_plane_reaches(rows[:1], (16, 64))[0].met


def test_conversations_count_whole_blocks_that_exist() -> None:
    """A prompt finds the blocks of its common prefix, and never all of itself."""
    known = list(range(100))
    assert reusable([*range(50), 7, 7, 7], known) == 48
    assert reusable(known, known) == 96
    assert reusable(list(range(64)), known) == 48
    assert reusable([5], known) == 0
