"""The replay beside the code that serves, both in virtual time: `make bench-replay_beside`.

The same requests on the same modelled engines: once as `baton replay` has them, once through the real
gateway, links and workers (`tests/replay/real_stack.py`). Needs the folder of traces (`--traces`).
Prints a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.box import hardware
from benchmarks.report import Reach, Report, Row
from benchmarks.router import trace_folder
from replay.outcome import Outcome
from replay.replay import replay
from replay.settings import ReplaySettings
from replay.slo import Slo
from replay.trace import TraceRequest, scaled
from replay.trace_file import read_trace
from tests.replay.real_stack import replay_for_real

REQUESTS = 400
PROMISED = Slo(ttft_s=4.0, ttft_per_prefill=0.0, itl_s=0.05)
"""The same for every prompt, as live gateways promise."""
SETUPS = (
    ("mooncake_conversation_first_half", (0, 400, 1200, 2000), 2.3, ReplaySettings(2, 2, 262_144)),
    ("mooncake_conversation_first_half", (0, 1200), 6.0, ReplaySettings(4, 4, 2_000_000)),
    ("mooncake_synthetic", (0, 400), 2.6, ReplaySettings(2, 2, 262_144)),
    ("mooncake_synthetic", (0, 400), 8.0, ReplaySettings(4, 4, 2_000_000)),
)
"""Trace, first requests of its pieces, requests a second, cluster."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One piece of a trace, both ways."""

    name: str
    modelled: Outcome
    real: Outcome


def pairs(folder: Path, pieces: int) -> Iterator[Pair]:
    """At most `pieces` of each setup."""
    for trace, starts, rate, cluster in SETUPS:
        settings = replace(cluster, slo=PROMISED)
        pools = f"{settings.prefills}P+{settings.decodes}D {settings.kv_tokens // 1000}k"
        for start in starts[:pieces]:
            requests = piece(read_trace(folder / f"{trace}.jsonl"), start, rate)
            name = f"{trace.split('_')[1]} from {start}, {pools}, {rate:g}/s"
            yield Pair(name, replay(requests, settings), replay_for_real(requests, settings))


def piece(trace: tuple[TraceRequest, ...], start: int, rate: float) -> tuple[TraceRequest, ...]:
    """A run of requests out of a trace, from time 0 on."""
    cut = trace[start : start + REQUESTS]
    began = cut[0].arrival_s
    return scaled([replace(one, arrival_s=one.arrival_s - began) for one in cut], rate, len(cut))


def rows_of(pair: Pair) -> list[Row]:
    return [
        row
        for system, found in (("replay", pair.modelled), ("real stack", pair.real))
        for row in (
            Row(pair.name, system, "goodput", found.goodput, "share"),
            Row(pair.name, system, "TTFT p50", found.ttft_p50_s, "s"),
            Row(pair.name, system, "TTFT p90", found.ttft_p90_s, "s"),
            Row(pair.name, system, "TTFT p99", found.ttft_p99_s, "s"),
            Row(pair.name, system, "ITL p50", found.itl_p50_s, "s"),
            Row(pair.name, system, "prefix hits of an infinite cache's", found.hits, "share"),
            Row(pair.name, system, "disaggregated", found.disaggregated, "share"),
        )
    ]


def reach_of(found: list[Pair]) -> Reach:
    apart = statistics.mean(pair.real.goodput - pair.modelled.goodput for pair in found)
    return Reach("all pieces", "mean goodput, real less replayed", apart, -0.02, apart >= -0.02)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--traces", type=Path, default=None)
    options.add_argument(
        "--quick", action="store_true", default=os.environ.get("QUICK", "0") not in ("", "0")
    )
    chosen = options.parse_args()
    folder = chosen.traces or trace_folder()
    if folder is None:
        options.error("no folder of traces found: name one with --traces")
    found: list[Pair] = []
    for pair in pairs(folder, 1 if chosen.quick else REQUESTS):
        print(f"{pair.name}: goodput {pair.modelled.goodput:.3f} / {pair.real.goodput:.3f}", flush=True)
        found.append(pair)
    rows = tuple(row for pair in found for row in rows_of(pair))
    note = "virtual time; steps and KV reads are modelled on both sides, the rest only in the replay"
    print(Report("replay_beside", hardware(), rows, (reach_of(found),), notes=(note,)).text())


if __name__ == "__main__":
    main()
