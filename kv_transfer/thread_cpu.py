"""CPU time of threads that native code started: what copying costs where a post does not copy."""

from __future__ import annotations

import os
from pathlib import Path

TASKS = Path("/proc/self/task")


def thread_ids() -> frozenset[str]:
    """All threads of this process, as Linux numbers them."""
    return frozenset(os.listdir(TASKS))


def cpu_seconds(threads: frozenset[str]) -> float:
    """CPU seconds that these threads have used; one that ended, or is not accounted, counts nothing."""
    return sum(_nanoseconds(TASKS / thread / "schedstat") for thread in threads) / 1e9


def _nanoseconds(schedstat: Path) -> int:
    """The first number of the file is the time spent on a CPU (proc(5), kernel's sched-stats)."""
    try:
        return int(schedstat.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0
