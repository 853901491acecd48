"""`baton up` as a user runs it: a process in the foreground of its own terminal group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.preflight import free_port
from cluster.run_folder import RunFolder, RunState
from cluster.run_processes import end_processes, processes_of

START_S = 300.0
"""Generous: the machine may be busy with other tests."""


class BatonProcess:
    """One `baton up` and what can be known of it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port("127.0.0.1")
        self.folder = RunFolder(folder / "run")
        self._output = folder / "output"
        self.process = self._start("up", "--port", str(self.port), *options)
        self.run_id = ""

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """All it has printed so far, on both streams."""
        return self._output.read_text(encoding="utf-8")

    def wait_until(self, seen: Callable[[str], bool], within_s: float = START_S) -> None:
        """Until its output satisfies `seen`. Raises AssertionError if it ends or takes too long."""
        deadline = time.monotonic() + within_s
        while not seen(self.output()):
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.1)
        self.run_id = self.run_id or self.state().run_id

    def state(self) -> RunState:
        """What it tells other commands."""
        state = self.folder.running()
        assert state is not None
        return state

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `baton` command of the same user."""
        return subprocess.run(
            [sys.executable, "-m", "cluster", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends it to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def left(self) -> tuple[int, ...]:
        """Processes of the run that are still there."""
        return processes_of(self.run_id) if self.run_id else ()

    def end(self) -> None:
        """Whatever the test left running."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.run_id:
            end_processes(self.run_id, 0.0)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "cluster", *arguments],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "BATON_RUN_DIR": str(self.folder.path)}


@contextmanager
def baton_up(*options: str) -> Iterator[BatonProcess]:
    """A cluster that is starting; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bt", dir="/tmp", ignore_cleanup_errors=True) as folder:
        baton = BatonProcess(Path(folder), *options)
        try:
            yield baton
        finally:
            baton.end()
