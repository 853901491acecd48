"""Processes of a run: found by what they carry, ended without exception, and no others."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

from cluster.keeper import start_keeper
from cluster.run_processes import RUN_ID_VARIABLE, end_processes, processes_of

SLEEP = ("sleep", "600")
SOON_S = 20.0


def carrying(run_id: str, *command: str) -> subprocess.Popen[bytes]:
    """A process that belongs to a run."""
    return subprocess.Popen(command or SLEEP, env={**os.environ, RUN_ID_VARIABLE: run_id})


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of another run."""
    other = carrying(uuid.uuid4().hex)
    yield other
    other.kill()
    other.wait()


def test_run_is_found_and_ended_alone(bystander: subprocess.Popen[bytes]) -> None:
    """Children and grandchildren that ignore SIGTERM end too; another run's do not."""
    run_id = uuid.uuid4().hex
    child = carrying(run_id, "sh", "-c", "trap '' TERM; sleep 600 & sleep 600")
    while len(processes_of(run_id)) < 3:
        time.sleep(0.01)
    assert child.pid in end_processes(run_id, 0.0)
    assert processes_of(run_id) == ()
    assert bystander.poll() is None
    child.wait()


def test_whoever_ends_in_time_is_not_killed() -> None:
    """A process that ends by itself within the grace is left to do so."""
    run_id = uuid.uuid4().hex
    child = carrying(run_id, "sleep", "0.2")
    assert end_processes(run_id, SOON_S) == ()
    assert child.wait() == 0


def test_keeper_ends_the_run_of_whoever_started_it(bystander: subprocess.Popen[bytes]) -> None:
    """When the process that holds the keeper's pipe is gone, its run ends within seconds."""
    run_id = uuid.uuid4().hex
    child, keeper = carrying(run_id), start_keeper(run_id)
    assert keeper.stdin is not None
    assert child.poll() is None
    keeper.stdin.close()  # as the kernel does when `baton up` is killed
    assert keeper.wait(SOON_S) == 0
    assert child.wait(SOON_S) < 0
    assert bystander.poll() is None
