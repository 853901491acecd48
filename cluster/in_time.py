"""Calls into libraries that may never come back, made so that Ctrl-C and the clean-up still work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from protocol.errors import DeadlineExceeded

T = TypeVar("T")


def in_time(call: Callable[[], T], seconds: float) -> T:
    """What `call()` returns or raises, from a thread of its own, while this one stays open to signals.
    Raises DeadlineExceeded after `seconds`; the call is then left to itself."""
    outcome: queue.SimpleQueue[tuple[list[T], BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(([call()], None))
        except BaseException as error:
            outcome.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        results, error = outcome.get(timeout=seconds)
    except queue.Empty as late:
        raise DeadlineExceeded(f"no answer within {seconds:.0f} s") from late
    if error is not None:
        raise error
    return results[0]
