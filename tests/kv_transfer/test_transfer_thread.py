"""The transfer thread runs jobs in order, and its failures are seen."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from kv_transfer.transfer_thread import TransferThread
from protocol.errors import EngineFailed, TransferFailed


def fail() -> None:
    """A job that breaks the rule."""
    raise ValueError("a bug")


def refuse() -> None:
    """A job that ends in a typed error."""
    raise TransferFailed("no")


def test_jobs_run_in_order_in_one_thread() -> None:
    """Jobs run one after the other, not in the caller's thread, and finish waits for its own."""
    thread = TransferThread("test")
    seen: list[tuple[int, int]] = []

    def note(number: int) -> None:
        seen.append((number, threading.get_ident()))

    for number in range(5):
        thread.submit(partial(note, number))
    thread.finish(partial(note, 5), 5.0)
    assert [number for number, _ in seen] == [0, 1, 2, 3, 4, 5]
    assert len({ident for _, ident in seen} | {threading.get_ident()}) == 2
    thread.stop(5.0)


def test_finish_raises_what_its_job_raised_and_goes_on() -> None:
    """An error of a waited-for job is its caller's; the thread lives on."""
    thread = TransferThread("test")
    with pytest.raises(TransferFailed):
        thread.finish(refuse, 5.0)
    thread.finish(lambda: None, 5.0)
    thread.stop(5.0)


def test_finish_is_bounded() -> None:
    """A native call that never returns shows as EngineFailed, for then only the process's end helps."""
    thread = TransferThread("test")
    stuck = threading.Event()

    def hang() -> None:
        stuck.wait(10.0)

    thread.submit(hang)
    with pytest.raises(EngineFailed):
        thread.finish(lambda: None, 0.05)
    with pytest.raises(EngineFailed):
        thread.stop(0.05)
    stuck.set()
    thread.stop(5.0)


def test_a_thread_that_ended_by_an_error_takes_no_jobs() -> None:
    """A job that raises ends the thread, and the next submit says so instead of waiting for ever."""
    thread = TransferThread("test")
    thread.submit(fail)
    thread.stop(5.0)
    with pytest.raises(EngineFailed, match="a bug"):
        thread.submit(lambda: None)
