"""`baton down`: ends the running cluster from another terminal."""

from __future__ import annotations

import os
import signal
import time

from cluster.endpoint import NotRunning
from cluster.run_folder import RunFolder, RunState
from cluster.run_processes import end_processes
from cluster.screen import Screen

END_S = 15.0
"""`baton up` ends within ten seconds; beyond this it is killed, and its run with it."""
POLL_S = 0.05


def stop_cluster(folder: RunFolder, screen: Screen) -> None:
    """Returns when no process of the cluster is left. Raises NotRunning if there was none."""
    left = folder.left_behind()
    state = folder.running()
    if state is None and left is None:
        raise NotRunning("no cluster is running")
    if state is not None:
        screen.stage(f"stopping the cluster at {state.endpoint}")
        _end(folder, state)
        end_processes(state.run_id, 0.0)
    elif left is not None:
        end_processes(left.run_id, 0.0)
        folder.forget()
    screen.end_stage()
    screen.say("stopped")


def _end(folder: RunFolder, state: RunState) -> None:
    _signal(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_S
    while folder.is_held():
        if time.monotonic() > deadline:
            _signal(state.pid, signal.SIGKILL)
        time.sleep(POLL_S)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
