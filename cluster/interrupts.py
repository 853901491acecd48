"""Signals that end `baton up`: raised where the main thread is, until the clean-up begins."""

from __future__ import annotations

import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked for the end. Not an Exception, so that no handler swallows it."""


def raise_interrupts() -> None:
    """Ctrl-C, SIGTERM and SIGHUP raise Interrupted. `ray.init` takes SIGTERM away: call it again then."""
    for number in ENDING:
        signal.signal(number, _raise)


def ignore_interrupts() -> None:
    """For the clean-up, which is bounded and must not be cut short."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(signal.Signals(number).name)
