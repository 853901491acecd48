"""A bell for one waiter: what an asyncio.Event does for a queue with one reader, at half its price."""

from __future__ import annotations

import asyncio

SAME_S = 1e-6
"""Ends of two waits that are no further apart are the same: sums of seconds differ in their last digits."""


class Bell:
    """Whoever waits has looked first whether there is a need to; whoever changes that rings. A ring
    while nobody waits is not kept. It belongs to the loop on which it is first waited for: until Python
    3.12, to ask for the running loop is a system call."""

    __slots__ = ("_due", "_loop", "_rings_at", "_timer", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = self._due = 0.0
        """When the timer runs, and when the time of whoever waits is over, on the loop's clock."""

    def ring(self) -> None:
        """Wakes who waits."""
        self._wake(rung=True)

    def hush_within(self, seconds: float) -> None:
        """Whoever waits from now on is woken after `seconds` at the latest, without a ring. The timer
        outlives that wait: of many waits with one end, only the first pays for it. `rest` ends it."""
        loop = self._loop or self._bind()
        self._due = due = loop.time() + max(0.0, seconds)
        if self._timer is not None:
            if due >= self._rings_at - SAME_S:
                return
            self._timer.cancel()
        self._set(loop, due)

    def rest(self) -> None:
        """Nobody waits any more, and no timer stays behind; twice is harmless."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait(self) -> bool:
        """Whether it rang. For one waiter at a time."""
        loop = self._loop or self._bind()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiter = waiter
        try:
            return await waiter
        finally:
            self._waiter = None

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._rings_at = due
        self._timer = loop.call_at(due, self._time_is_over, loop)

    def _time_is_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Of an earlier wait, perhaps: then the timer is set for the present one."""
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._due > self._rings_at + SAME_S:
            self._set(loop, self._due)
        else:
            self._wake(rung=False)

    def _wake(self, *, rung: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(rung)
