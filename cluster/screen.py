"""What `baton` shows: stages with their time on a terminal or in a log, and errors as one sentence."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status


class Screen:
    """Standard output for results and progress, standard error for what went wrong."""

    def __init__(self) -> None:
        self.out = Console(highlight=False, soft_wrap=True)
        self._error = Console(stderr=True, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._status: Status | None = None
        self._stage = ""

    def stage(self, text: str) -> None:
        """What is being waited for. Repeating it shows nothing new."""
        if text == self._stage:
            return
        self._stage = text
        if not self.out.is_terminal:
            self.out.print(f"{self.elapsed_s:5.1f} s  {text}", markup=False)
        elif self._status is None:
            self._status = self.out.status(text)
            self._status.start()
        else:
            self._status.update(text)

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
        """Sends whatever libraries and daemons write to standard error to a file, and keeps our own
        errors on the screen."""
        kept = os.dup(2)
        self._error = Console(file=os.fdopen(kept, "w"), highlight=False, soft_wrap=True)
        sys.stderr.flush()
        with log.open("ab") as sink:
            os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
