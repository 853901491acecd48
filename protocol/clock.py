"""Time as the parts see it: now, sleep, and a deadline around an await. Nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from protocol.errors import DeadlineExceeded


class Clock(Protocol):
    """The seam of time. Seconds; only differences mean anything."""

    def now(self) -> float:
        """Monotonic seconds on this node's own clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""
        ...

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Cancels what runs inside after `seconds` and raises DeadlineExceeded instead."""
        ...


class LoopClock:
    """The running event loop's time plus an offset: real on a real loop, virtual on a VirtualLoop."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset

    def now(self) -> float:
        """Monotonic seconds; the offset keeps two nodes' clocks from being comparable."""
        return asyncio.get_running_loop().time() + self._offset

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`; zero yields once."""
        await asyncio.sleep(max(0.0, seconds))

    @asynccontextmanager
    async def deadline(self, seconds: float) -> AsyncIterator[None]:
        """Raises DeadlineExceeded if the body is still running after `seconds`."""
        scope = asyncio.timeout(max(0.0, seconds))
        try:
            async with scope:
                yield
        except TimeoutError as late:
            if not scope.expired():  # the body's own TimeoutError
                raise
            raise DeadlineExceeded(f"not done within {seconds:.3f} s") from late
