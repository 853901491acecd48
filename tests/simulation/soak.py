"""`python -m tests.simulation.soak --seeds 50000`: many seeds on all cores, then every planted bug.

The mixed profile runs the seeds asked for; kill only and the swarm run a tenth of them each.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context

from tests.simulation.bug_list import BUGS
from tests.simulation.tally import Tally
from tests.simulation.trial import Trial, of_bug, of_control, of_profile

CHUNK = 20
"""Seeds that a process runs before it reports."""
CHUNKS_PER_PROCESS = 100
"""Then it is replaced: memory stays bounded whatever a run leaves behind."""
PROGRESS_S = 10.0
ENOUGH_CATCHES = 3
SHRUNK = 3
"""Failures that are shrunk."""


@dataclass(frozen=True, slots=True)
class Job:
    """A few seeds of one trial."""

    kind: str
    name: str
    seeds: range


def work(job: Job) -> Tally:
    """Runs in a process of its own."""
    trial = TRIALS[job.kind](job.name)
    tally = Tally()
    for seed in job.seeds:
        tally.add(trial.run(seed))
    gc.collect()
    return tally


TRIALS: dict[str, Callable[[str], Trial]] = {
    "profile": of_profile,
    "bug": of_bug,
    "control": of_control,
}


class Soak:
    """A pool of processes and what they found."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(
            processes, get_context("spawn"), max_tasks_per_child=CHUNKS_PER_PROCESS
        )

    def __enter__(self) -> Soak:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, kind: str, name: str, seeds: range, tell: Callable[[str], None]) -> tuple[Tally, float]:
        """All seeds; what they showed, and the real seconds it took."""
        began = time.perf_counter()
        jobs = _jobs(kind, name, seeds)
        total, told_at = Tally(), began
        pending: set[Future[Tally]] = set()
        while True:
            pending |= {
                self._pool.submit(work, job) for job in islice(jobs, 2 * self._processes - len(pending))
            }
            if not pending:
                return total, time.perf_counter() - began
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for one in done:
                total.join(one.result())
            if time.perf_counter() - told_at >= PROGRESS_S:
                told_at = time.perf_counter()
                tell(f"... of {len(seeds)}: " + total.line(name, told_at - began, self._processes))


def _jobs(kind: str, name: str, seeds: range) -> Iterator[Job]:
    for start in range(seeds.start, seeds.stop, CHUNK):
        yield Job(kind, name, range(start, min(start + CHUNK, seeds.stop)))


def soak_profile(soak: Soak, name: str, seeds: range, processes: int) -> bool:
    """One profile; true when no seed failed."""
    tally, seconds = soak.run("profile", name, seeds, _tell)
    trial = of_profile(name)
    for seed, complaint in sorted(tally.failures):
        print(f"seed {seed}: {complaint}\n{trial.replay(seed)}", flush=True)
    for seed, _ in sorted(tally.failures)[:SHRUNK]:
        print("\n".join(trial.shrunk(seed)), flush=True)
    print(tally.line(name, seconds, processes), flush=True)
    return tally.failed == 0


def soak_bugs(soak: Soak, seeds: range) -> bool:
    """The table of planted bugs; true when each is caught often enough, and none is seen without it."""
    print(f"{'planted bug':<26} caught of {len(seeds)}  first seed  without it")
    good = True
    for bug in BUGS:
        caught, _ = soak.run("bug", bug.name, seeds, _tell)
        control, _ = soak.run("control", bug.name, seeds, _tell)
        first = min((seed for seed, _ in caught.failures), default=-1)
        print(f"{bug.name:<26} {caught.failed:13d}  {first:10d}  {control.failed:10d}", flush=True)
        good = good and caught.failed >= min(ENOUGH_CATCHES, len(seeds)) and control.failed == 0
    return good


def main() -> int:
    """Exit status 1 if a promise was broken, or a planted bug was not seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak")
    parser.add_argument("--seeds", type=int, default=50_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--planted", type=int, default=300, help="seeds for each planted bug")
    options = parser.parse_args()
    tenth = -(-options.seeds // 10)
    sizes = {"mixed": options.seeds, "kill_only": tenth, "swarm": tenth}
    with Soak(options.processes) as soak:
        good = [
            soak_profile(soak, name, range(options.start, options.start + count), options.processes)
            for name, count in sizes.items()
            if count
        ]
        seen = soak_bugs(soak, range(options.planted)) if options.planted else True
    kept = "no promise was broken" if all(good) else "PROMISES WERE BROKEN"
    bugs = "every planted bug was seen" if seen else "A PLANTED BUG WAS NOT SEEN"
    print(f"soak: {sum(sizes.values())} seeds, {kept}; {bugs}")
    return int(not (all(good) and seen))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
