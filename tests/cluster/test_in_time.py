"""Bounded calls: results and errors pass through, hangs do not."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

import pytest

from cluster.in_time import in_time
from protocol.errors import DeadlineExceeded


def test_result_and_error_pass_through() -> None:
    """A call in time is as if it had been made directly."""
    assert in_time(lambda: 7, 10.0) == 7
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, 10.0)


def test_call_that_hangs_is_left_behind() -> None:
    """A call that never comes back costs the bound and no more."""
    never = threading.Event()
    with pytest.raises(DeadlineExceeded):
        in_time(never.wait, 0.05)
    never.set()


def test_signals_are_heard_meanwhile() -> None:
    """A signal that arrives during the call is handled at once, not after it."""
    heard: list[float] = []

    def note(_number: int, _frame: FrameType | None) -> None:
        heard.append(time.monotonic())

    before = signal.signal(signal.SIGALRM, note)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        began = time.monotonic()
        in_time(lambda: time.sleep(1.0), 10.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert heard[0] - began < 0.9
