"""Ties a process to its parent and its cores, then becomes the command it was given.

Run as a script, with the standard library alone, so that both hold before anything of the command
is imported: thread pools size themselves by the cores they find at import. It takes the place of
subprocess's preexec_fn, which is unsafe in a process with threads.

    engine_launch.py PARENT_PID CORES COMMAND...        CORES: "0,1", or "all"
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """SIGKILL for this process when the thread that started it ends. Outlives exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit("the parent ended before its engine began")


def main(arguments: list[str]) -> None:
    """Never returns."""
    parent_pid, cores, *command = arguments
    die_with_parent(int(parent_pid))
    # Both may reach a whole process group: the parent alone decides when the engine ends.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if cores != "all":
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    os.execvp(command[0], command)  # noqa: S606  the command is the worker's own


if __name__ == "__main__":
    main(sys.argv[1:])
