"""Errors that the product logs: in a simulation each one is a bug, unless a poisoned step made it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.poison import PoisonedStep

EXPECTED = "worker.engine_watch"
"""Says that an engine is frozen; whether it was, is judged by who froze it."""


class ErrorLog(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        wrong = record.exc_info[1] if record.exc_info else None
        if isinstance(wrong, PoisonedStep) or record.name == EXPECTED:
            return
        self.found.append(
            f"logged by {record.name}: {record.getMessage()}" + (f": {wrong!r}" if wrong else "")
        )


@contextmanager
def errors_kept() -> Iterator[list[str]]:
    """Everything logged as an error meanwhile; nothing is logged elsewhere."""
    log, root, asyncios = ErrorLog(), logging.getLogger(), logging.getLogger("asyncio")
    handlers, level = root.handlers, root.level
    root.handlers = [log]
    root.setLevel(logging.ERROR)
    asyncios.setLevel(logging.ERROR)
    try:
        yield log.found
    finally:
        root.handlers = handlers
        root.setLevel(level)
        asyncios.setLevel(logging.NOTSET)
