"""The executors: the suite for both, and what only threads can do."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from protocol.clock import LoopClock
from protocol.errors import DeadlineExceeded, Overloaded
from protocol.executor import InlineExecutor, ThreadExecutor
from protocol.virtual_loop import run_virtual
from tests.protocol.executor_conformance import ENOUGH_S, EXECUTOR_PROMISES, ExecutorPromise


@pytest.mark.parametrize("promise", EXECUTOR_PROMISES, ids=lambda p: p.__name__)
async def test_thread_executor(promise: ExecutorPromise) -> None:
    """The thread pool keeps every promise of the seam."""
    executor = ThreadExecutor(LoopClock(), threads=2, queue=8)
    await promise(executor)
    await executor.close()


@pytest.mark.parametrize("promise", EXECUTOR_PROMISES, ids=lambda p: p.__name__)
def test_inline_executor(promise: ExecutorPromise) -> None:
    """The inline executor keeps every promise of the seam, on the virtual loop."""

    async def main() -> None:
        await promise(InlineExecutor(LoopClock()))

    run_virtual(main())


async def test_the_loop_turns_while_a_thread_works() -> None:
    """A call that blocks its thread does not hold up the event loop."""
    executor, go = ThreadExecutor(LoopClock(), threads=1, queue=1), threading.Event()
    task = asyncio.create_task(executor.run(lambda: go.wait(ENOUGH_S), ENOUGH_S))
    await asyncio.sleep(0.01)
    go.set()
    assert await task
    await executor.close()


async def test_one_call_too_many_is_overloaded_at_once() -> None:
    """Beyond the running and the waiting a call is refused without waiting, until one has ended."""
    executor, go = ThreadExecutor(LoopClock(), threads=1, queue=2), threading.Event()
    calls = [asyncio.create_task(executor.run(lambda: go.wait(ENOUGH_S), ENOUGH_S)) for _ in range(3)]
    await asyncio.sleep(0.01)
    start = time.monotonic()
    with pytest.raises(Overloaded) as refused:
        await executor.run(lambda: True, ENOUGH_S)
    assert refused.value.retry_after_s is not None
    assert time.monotonic() - start < 1.0
    go.set()
    assert await asyncio.gather(*calls) == [True] * 3
    assert await executor.run(lambda: True, ENOUGH_S)
    await executor.close()


async def test_a_late_call_is_given_up_but_keeps_its_place() -> None:
    """The caller hears DeadlineExceeded in time; the thread counts as taken until it is free."""
    executor, go = ThreadExecutor(LoopClock(), threads=1, queue=0), threading.Event()
    with pytest.raises(DeadlineExceeded):
        await executor.run(lambda: go.wait(ENOUGH_S), 0.05)
    with pytest.raises(Overloaded):
        await executor.run(lambda: True, ENOUGH_S)
    go.set()
    async with asyncio.timeout(ENOUGH_S):
        while True:
            try:
                assert await executor.run(lambda: True, ENOUGH_S)
                break
            except Overloaded:
                await asyncio.sleep(0.01)
    await executor.close()


async def test_a_call_that_waits_past_its_deadline_never_runs() -> None:
    """A call whose time is over before a thread is free is dropped from the queue."""
    executor, go = ThreadExecutor(LoopClock(), threads=1, queue=1), threading.Event()
    ran: list[bool] = []
    first = asyncio.create_task(executor.run(lambda: go.wait(ENOUGH_S), ENOUGH_S))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await executor.run(lambda: ran.append(True), 0.05)
    go.set()
    await first
    assert await executor.run(lambda: list(ran), ENOUGH_S) == []
    await executor.close()


async def test_cancelling_the_caller_is_not_a_deadline() -> None:
    """A cancelled caller ends as cancelled."""
    executor, go = ThreadExecutor(LoopClock(), threads=1, queue=0), threading.Event()
    caller = asyncio.create_task(executor.run(lambda: go.wait(ENOUGH_S), ENOUGH_S))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    await executor.close()
