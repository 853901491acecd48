"""Compares routing policies on replayed traces, and times the planner: `make bench-router`.

`QUICK=1` samples the cells. Needs the folder of traces (`--traces`), whose files are `mooncake_*.jsonl`.
Prints a table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.box import hardware
from benchmarks.busy_view import busy_view
from benchmarks.figures import percentile
from benchmarks.kept_outcomes import KeptOutcomes
from benchmarks.report import Reach, Report, Row, at_least, at_most
from benchmarks.router_cells import SHARES, Cell, cells_of, setups
from router.joint_ask import JointAsk
from router.joint_planner import joint_plans

WORKERS, PLANS = 1000, 400
POOLS = ((4, 4), (16, 16), (2, 6), (6, 2))
QUICK_POOLS = ((4, 4), (6, 2))
QUICK_REQUESTS = 1500
TIE = 0.01


@dataclass(frozen=True, slots=True)
class PlanTimes:
    """Of many plans, in ms."""

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]


def plan_times() -> PlanTimes:
    """An 8 k-token prompt planned over a thousand workers; the index lookup is not counted."""
    draw, view = np.random.default_rng(2), busy_view(WORKERS)
    wall_ms, cpu_ms = [], []
    for seed in range(PLANS):
        ask = JointAsk(8192, draw.integers(0, 400, WORKERS), 16, seed, 2.0, 0.05)
        wall, cpu = time.perf_counter(), time.thread_time()
        joint_plans(ask, view)
        cpu_ms.append((time.thread_time() - cpu) * 1000.0)
        wall_ms.append((time.perf_counter() - wall) * 1000.0)
    return PlanTimes(tuple(wall_ms), tuple(cpu_ms))


def rows_of(cell: Cell) -> list[Row]:
    return [
        row
        for policy, found in cell.outcomes.items()
        for row in (
            Row(
                cell.name, policy.value, "goodput, share of requests", found.goodput, f"at {cell.rate:.3g}/s"
            ),
            Row(cell.name, policy.value, "TTFT p99", found.ttft_p99_s, "s"),
            Row(cell.name, policy.value, "prefix hits of an infinite cache's", found.hits, "share"),
            Row(cell.name, policy.value, "disaggregated", found.disaggregated, "share"),
        )
    ]


def reaches(cells: list[Cell], times: PlanTimes) -> list[Reach]:
    plan = f"plan over {WORKERS} workers, without index lookup"
    found = [
        at_most(plan, "p50, ms", percentile(times.wall_ms, 0.5), 0.5),
        at_most(plan, "p99, ms", percentile(times.wall_ms, 0.99), 2.0),
        at_most(plan, "p50, CPU, ms", percentile(times.cpu_ms, 0.5), 0.5),
        at_most(plan, "p99, CPU, ms", percentile(times.cpu_ms, 0.99), 2.0),
    ]
    for cell in cells:
        found.append(at_least(cell.name, "goodput over the best rival's", cell.goodput_ratio, 1 - TIE))
        found.append(at_most(cell.name, "TTFT p99 over the best rival's", cell.ttft_p99_ratio, 1 + TIE))
        found.append(at_least(cell.name, "goodput over the better half's", cell.choice_ratio, 0.95))
    overload = [cell.dynamo_ratio for cell in cells if cell.share > 1.0]
    if overload:
        median = statistics.median(overload)
        found.append(at_least("median of the 110% cells", "goodput over Dynamo's policy", median, 1.3))
    return found


def notes_of(folder: Path, quick: bool) -> tuple[str, ...]:
    sampled = f"sampled: pools {QUICK_POOLS}, the first {QUICK_REQUESTS} requests of each trace"
    return (
        "replayed in virtual time; real: the planner; modelled: engines, links, index without delay",
        sampled if quick else f"pools {POOLS}, every request of the traces in {folder.name}",
    )


def trace_folder() -> Path | None:
    """A folder `traces` here, or in a folder beside this checkout."""
    places = [Path("traces"), *sorted(Path("..").glob("*/traces"))]
    return next((place for place in places if any(place.glob("mooncake_*.jsonl"))), None)


def _progress(cell: Cell) -> str:
    return (
        f"{cell.name}: {cell.rate:.2f}/s, goodput x{cell.goodput_ratio:.3f}, "
        f"x{cell.dynamo_ratio:.3f} of Dynamo's, "
        f"TTFT p99 x{cell.ttft_p99_ratio:.3f}, choice x{cell.choice_ratio:.3f}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--traces", type=Path, default=None)
    options.add_argument(
        "--quick", action="store_true", default=os.environ.get("QUICK", "0") not in ("", "0")
    )
    options.add_argument("--only", default="", help="setups whose name has this in it, as '4P+4D 262k'")
    options.add_argument(
        "--keep", type=Path, help="a file of outcomes: those in it are not replayed, others are added"
    )
    chosen = options.parse_args()
    box, folder = hardware(), chosen.traces or trace_folder()
    times = plan_times()
    cells: list[Cell] = []
    if folder is not None:
        pools, count = (QUICK_POOLS, QUICK_REQUESTS) if chosen.quick else (POOLS, None)
        found = setups(folder, pools, count, KeptOutcomes(chosen.keep))
        for setup in (one for one in found if chosen.only in one.name):
            cells += cells_of(setup)
            for cell in cells[-len(SHARES) :]:
                print(_progress(cell), flush=True)
    rows = tuple(row for cell in cells for row in rows_of(cell))
    absent = () if folder else ("the traces",)
    notes = notes_of(folder, chosen.quick) if folder else ()
    print(Report("router", box, rows, tuple(reaches(cells, times)), absent, notes).text())


if __name__ == "__main__":
    main()
