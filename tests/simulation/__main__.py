"""`python -m tests.simulation --seeds 20 --start 0`: runs seeds, prints what failed and a summary."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.simulation.profile import drawn
from tests.simulation.world import Report, run_seed


def main() -> int:
    """Exit status 1 if any seed showed a wrong token, a leak, a hang or an answer that came too late."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    began = time.perf_counter()
    reports = [_run(seed) for seed in range(options.start, options.start + options.seeds)]
    seconds = time.perf_counter() - began
    print(_summary(reports, seconds))
    return int(any(report.complaints for report in reports))


def _run(seed: int) -> Report:
    report = run_seed(seed, drawn(seed))
    for complaint in report.complaints:
        print(f"seed {seed}: {complaint}")
    if report.complaints:
        print(f"replay: make sim SEEDS=1 SEED_START={seed}")
    return report


def _summary(reports: list[Report], seconds: float) -> str:
    stayed = sum(report.stayed for report in reports)
    complete = sum(report.complete for report in reports)
    failed = sum(bool(report.complaints) for report in reports)
    return (
        f"simulation: {len(reports)} seeds, {failed} failed, {complete} of {stayed} clients who stayed got "
        f"their full answer, {sum(r.strikes for r in reports)} faults, {sum(r.replans for r in reports)} "
        f"re-plans, {seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
