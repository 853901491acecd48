"""CPU time of threads that native code started: what copying costs where a post does not copy."""

from __future__ import annotations

import os

TASKS = "/proc/self/task"
LINE_BYTES = 256


def thread_ids() -> frozenset[str]:
    """All threads of this process, as Linux numbers them."""
    return frozenset(os.listdir(TASKS))


def cpu_seconds(threads: frozenset[str]) -> float:
    """CPU seconds that these threads have used; one that ended, or is not accounted, counts nothing."""
    return sum([_nanoseconds(f"{TASKS}/{thread}/schedstat") for thread in threads]) / 1e9


def _nanoseconds(schedstat: str) -> int:
    """The first number of the file is the time spent on a CPU (proc(5), kernel's sched-stats). Read
    after each transfer, so without a file object, which costs more than all the rest of one."""
    try:
        descriptor = os.open(schedstat, os.O_RDONLY)
        try:
            return int(os.read(descriptor, LINE_BYTES).split()[0])
        finally:
            os.close(descriptor)
    except (OSError, ValueError, IndexError):
        return 0
