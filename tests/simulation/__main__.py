"""`python -m tests.simulation --seeds 20 --start 0`: runs seeds, prints what failed and a summary."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.bug_list import BUGS
from tests.simulation.tally import Tally
from tests.simulation.trial import PROFILES, SHRINK_S, Trial, of_bug, of_profile


def main() -> int:
    """Exit status 1 if any seed broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--profile", choices=PROFILES, default="swarm")
    parser.add_argument("--bug", choices=[bug.name for bug in BUGS], help="with its own profile")
    parser.add_argument("--shrink-s", type=float, default=SHRINK_S, help="for the first failed seed")
    options = parser.parse_args()
    trial = of_bug(options.bug) if options.bug else of_profile(options.profile)
    began = time.perf_counter()
    tally = Tally()
    for seed in range(options.start, options.start + options.seeds):
        _run(trial, seed, tally, options.shrink_s)
    print(tally.line(f"simulation, {trial.name}", time.perf_counter() - began, 1))
    return int(tally.failed > 0)


def _run(trial: Trial, seed: int, tally: Tally, shrink_s: float) -> None:
    report = trial.run(seed)
    tally.add(report)
    if not report.complaints:
        return
    for complaint in report.complaints:
        print(f"seed {seed}: {complaint}")
    print(trial.replay(seed), flush=True)
    if tally.failed == 1:
        print("\n".join(trial.shrunk(seed, shrink_s)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
