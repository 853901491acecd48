"""CPU time of other threads is read while they live."""

from __future__ import annotations

import threading
import time

from kv_transfer.thread_cpu import cpu_seconds, thread_ids


def test_a_busy_thread_shows_its_cpu_time() -> None:
    """What a thread used is found by the thread's number, and a thread that is gone counts nothing."""
    used, release = threading.Event(), threading.Event()

    def work() -> None:
        while time.thread_time() < 0.03:
            pass
        used.set()
        release.wait(10.0)

    before = thread_ids()
    thread = threading.Thread(target=work)
    thread.start()
    assert used.wait(10.0)
    own = thread_ids() - before
    assert len(own) == 1
    assert 0.03 <= cpu_seconds(own) < 1.0
    release.set()
    thread.join()
    assert cpu_seconds(frozenset({"0"})) == 0.0
