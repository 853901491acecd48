"""A server process of any make: started, waited for, stopped with all its children."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process_cpu import MARK, cpu_by_kind, marked_processes
from benchmarks.stream_client import Endpoint

POLL_S = 0.5
START_S = 900.0
STOP_S = 30.0
LOG_TAIL = 1000


def end_on_sigterm() -> None:
    """So that a benchmark that is told to end takes its servers with it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


class ServerFailed(Exception):
    """It ended, or was not ready in time."""


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How a server is started."""

    system: str
    """Its name in the table."""
    argv: tuple[str, ...]
    endpoint: Endpoint
    ready_path: str
    """Answers 200 once requests are answered."""
    environment: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What a measurement needs of it."""

    system: str
    endpoint: Endpoint
    mark: str

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by kind of process."""
        return cpu_by_kind(self.mark)


@contextmanager
def running_server(command: ServerCommand, log: Path) -> Iterator[RunningServer]:
    """The server while it runs; its output goes to `log`. Raises ServerFailed."""
    mark = uuid.uuid4().hex
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **dict(command.environment), MARK: mark}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.argv, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_ready(command, process, log)
        yield RunningServer(command.system, command.endpoint, mark)
    finally:
        _stop(process, mark)


def _wait_until_ready(command: ServerCommand, process: subprocess.Popen[bytes], log: Path) -> None:
    url = f"http://{command.endpoint.host}:{command.endpoint.port}{command.ready_path}"
    deadline = time.monotonic() + START_S
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_bytes()[-LOG_TAIL:].decode(errors="replace")
            raise ServerFailed(f"{command.system} did not start:\n{tail}")
        time.sleep(POLL_S)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310  always http
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def _stop(process: subprocess.Popen[bytes], mark: str) -> None:
    """Asks the server to end, then ends whatever of it is left, known by the mark."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    deadline = time.monotonic() + STOP_S
    while left := marked_processes(mark):
        if time.monotonic() > deadline - STOP_S + 2 * POLL_S:
            for pid in left:
                _kill(pid)
        if time.monotonic() > deadline:
            raise ServerFailed(f"processes {left} do not end")
        time.sleep(POLL_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
