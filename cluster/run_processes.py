"""The processes of one run, known by the run id that each carries in its environment.

A whole tree of daemons and workers hangs below a cluster, and parts of it are reparented when one
dies; the id finds them all and nothing else. Linux only.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

RUN_ID_VARIABLE = "BATON_RUN_ID"
POLL_S = 0.05


def processes_of(run_id: str) -> tuple[int, ...]:
    """Pids of the living processes of a run, but this one, in order."""
    mark = f"{RUN_ID_VARIABLE}={run_id}".encode()
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return tuple(pid for pid in sorted(found) if pid != os.getpid() and _carries(pid, mark))


def end_processes(run_id: str, grace_s: float) -> tuple[int, ...]:
    """Waits `grace_s` for the run's processes to end by themselves, then kills the rest and says which."""
    deadline = time.monotonic() + grace_s
    left = processes_of(run_id)
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = processes_of(run_id)
    killed: list[int] = []
    while left:
        for pid in left:
            _kill(pid)
        killed.extend(pid for pid in left if pid not in killed)
        time.sleep(POLL_S)
        left = processes_of(run_id)
    return tuple(killed)


def _carries(pid: int, mark: bytes) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0]
    except OSError:
        return False
    return mark in environment.split(b"\0") and state not in (b"Z", b"X")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
