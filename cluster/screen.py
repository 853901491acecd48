"""What `baton` shows: stages with their time on a terminal or in a log, and errors as one sentence."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

WIDTH = 120
"""Columns of a log, which has no width of its own."""


class Screen:
    """Standard output for results and progress, standard error for what went wrong."""

    def __init__(self) -> None:
        self.out = _console(sys.stdout)
        self._error = _console(sys.stderr)
        self._began = time.monotonic()
        self._status: Live | None = None
        self._stage = ""

    def stage(self, text: str) -> None:
        """What is being waited for. Repeating it shows nothing new."""
        if text == self._stage:
            return
        self._stage = text
        if not self.out.is_terminal:
            self.out.print(f"{self.elapsed_s:5.1f} s  {text}", markup=False)
        elif self._status is None:
            self._status = self._spinning(text)
            self._status.start()
        else:
            self._status.update(Spinner("dots", text))

    def _spinning(self, text: str) -> Live:
        """Takes standard output and error for nobody but us, as rich's own status would not."""
        spinner = Spinner("dots", text)
        return Live(spinner, console=self.out, transient=True, redirect_stdout=False, redirect_stderr=False)

    def end_stage(self) -> None:
        """Nothing is being waited for."""
        self._stage = ""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def say(self, text: str) -> None:
        """One line or more, as they are."""
        self.out.print(text, markup=False)

    def write(self, text: str) -> None:
        """Part of a line, at once."""
        self.out.print(text, markup=False, end="")
        self.out.file.flush()

    def note(self, text: str) -> None:
        """A line of less weight."""
        self.out.print(text, markup=False, style="dim")

    def fail(self, text: str) -> None:
        """One sentence for whoever can mend it."""
        self.end_stage()
        self._error.print(f"error: {text}", markup=False, style="red")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._began

    @contextmanager
    def alone(self, log: Path) -> Iterator[None]:
        """Sends what libraries and daemons write to standard output and error to a file, so that only
        our own words are on the screen."""
        out, error = os.dup(1), os.dup(2)
        self.out, self._error = _console(os.fdopen(out, "w")), _console(os.fdopen(error, "w"))
        with log.open("ab") as sink:
            _redirect(sink.fileno(), sink.fileno())
        try:
            yield
        finally:
            _redirect(out, error)


def _console(file: TextIO) -> Console:
    wide = None if file.isatty() else WIDTH
    return Console(file=file, width=wide, highlight=False, soft_wrap=True)


def _redirect(out: int, error: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(out, 1)
    os.dup2(error, 2)
