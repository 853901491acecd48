"""Where CPU-bound work of the doors runs: tokenising, templates, SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from protocol.clock import Clock
from protocol.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")


class Executor(Protocol):
    """The seam of work that would hold up the event loop."""

    async def run(self, call: Callable[[], T], deadline_s: float) -> T:
        """What `call` returns or raises. Raises DeadlineExceeded if that takes longer than
        `deadline_s` seconds (a call that has begun then ends unheard), Overloaded if as many
        calls wait as may, or if the executor is closed."""
        ...

    async def close(self) -> None:
        """Takes no more calls; those that wait still run. Doing it twice is harmless."""
        ...


class ThreadExecutor:
    """A bounded pool of threads with a bounded queue before it."""

    def __init__(self, clock: Clock, threads: int, queue: int) -> None:
        """`queue` calls may wait while `threads` calls run."""
        self._clock = clock
        self._places = threads + queue
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(threads, "door")
        self._is_done: list[Callable[[], bool]] = []

    async def run(self, call: Callable[[], T], deadline_s: float) -> T:
        """Runs `call` in a thread. One that is late keeps its place until it really ends."""
        self._is_done = [is_done for is_done in self._is_done if not is_done()]
        if self._pool is None or len(self._is_done) >= self._places:
            raise Overloaded("no room for more work beside the event loop", retry_after_s=1.0)
        if deadline_s <= 0:
            raise DeadlineExceeded("no time is left")
        future = self._pool.submit(call)
        self._is_done.append(future.done)
        async with self._clock.deadline(deadline_s):
            return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Waits for nothing: the calls end in their threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
            self._pool = None


class InlineExecutor:
    """Runs every call at once on the event loop: for simulation, where work takes no time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed = False

    async def run(self, call: Callable[[], T], deadline_s: float) -> T:
        """Yields once, as a pool would, then runs `call`."""
        if self._closed:
            raise Overloaded("no room for more work beside the event loop", retry_after_s=1.0)
        if deadline_s <= 0:
            raise DeadlineExceeded("no time is left")
        await self._clock.sleep(0)
        return call()

    async def close(self) -> None:
        """Takes no more calls."""
        self._closed = True
