"""What every loop under a LoopClock must do, in coroutines that a test file runs on its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocol.clock import Clock, LoopClock
from protocol.errors import DeadlineExceeded

Promise = Callable[[], Awaitable[None]]


async def sleeping_takes_its_time() -> None:
    """Time moves by what was slept, and never backwards."""
    clock = LoopClock()
    start = clock.now()
    await clock.sleep(0.02)
    assert 0.0195 <= clock.now() - start < 5.0


async def zero_sleep_yields_once() -> None:
    """sleep(0) lets the others run and takes no time of its own; negative is the same."""
    clock = LoopClock()
    seen: list[str] = []
    task = asyncio.create_task(_note(seen))
    await clock.sleep(0)
    assert seen == ["ran"]
    await clock.sleep(-1.0)
    await task


async def an_offset_moves_only_the_origin() -> None:
    """Two nodes' clocks differ by their offset, and their durations agree."""
    here, there = LoopClock(), LoopClock(offset=1000.0)
    assert 999.0 < there.now() - here.now() < 1001.0
    start = there.now()
    await here.sleep(0.02)
    assert 0.0195 <= there.now() - start < 5.0


async def a_late_body_is_cut() -> None:
    """A body that outlives its deadline is cancelled and DeadlineExceeded is raised."""
    clock = LoopClock(offset=7.0)
    cut: list[bool] = []
    with pytest.raises(DeadlineExceeded):
        async with clock.deadline(0.02):
            try:
                await clock.sleep(60.0)
            except asyncio.CancelledError:
                cut.append(True)
                raise
    assert cut == [True]


async def a_body_in_time_is_left_alone() -> None:
    """A body that ends in time is not touched, then or later."""
    clock = LoopClock()
    async with clock.deadline(0.05):
        await clock.sleep(0.001)
    await clock.sleep(0.1)


async def a_spent_deadline_ends_at_the_first_wait() -> None:
    """A deadline of zero or less ends the body at its first await."""
    clock = LoopClock()
    for seconds in (0.0, -3.0):
        with pytest.raises(DeadlineExceeded):
            async with clock.deadline(seconds):
                await clock.sleep(60.0)


async def the_nearest_of_nested_deadlines_wins() -> None:
    """Of nested deadlines the nearer one fires, whichever is outside."""
    clock = LoopClock()
    passed_inner = False
    with pytest.raises(DeadlineExceeded, match=r"0\.020"):
        async with clock.deadline(0.02):
            async with clock.deadline(60.0):
                await clock.sleep(120.0)
            passed_inner = True
    assert not passed_inner
    async with clock.deadline(60.0):
        with pytest.raises(DeadlineExceeded, match=r"0\.020"):
            async with clock.deadline(0.02):
                await clock.sleep(120.0)
        await clock.sleep(0)


async def cancellation_is_not_a_timeout() -> None:
    """A task cancelled from outside inside a deadline ends as cancelled."""
    clock = LoopClock()
    task = asyncio.create_task(_sleep_within(clock, 60.0))
    await clock.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def the_bodys_own_errors_pass() -> None:
    """Errors of the body come out as they are, also its own TimeoutError."""
    clock = LoopClock()
    with pytest.raises(TimeoutError, match="mine"):
        async with clock.deadline(60.0):
            raise TimeoutError("mine")
    with pytest.raises(ValueError, match="mine"):
        async with clock.deadline(60.0):
            raise ValueError("mine")


async def _note(seen: list[str]) -> None:
    seen.append("ran")


async def _sleep_within(clock: Clock, seconds: float) -> None:
    async with clock.deadline(seconds):
        await clock.sleep(2 * seconds)


CLOCK_PROMISES: list[Promise] = [
    sleeping_takes_its_time,
    zero_sleep_yields_once,
    an_offset_moves_only_the_origin,
    a_late_body_is_cut,
    a_body_in_time_is_left_alone,
    a_spent_deadline_ends_at_the_first_wait,
    the_nearest_of_nested_deadlines_wins,
    cancellation_is_not_a_timeout,
    the_bodys_own_errors_pass,
]
