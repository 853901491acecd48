"""Time as the parts see it: now, sleep, and two bounds of a wait. Nothing else."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

from protocol.bell import Bell
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

    async def heard(self, bell: Bell, seconds: float) -> bool:
        """Waits for the bell, for `seconds` at most; whether it rang."""
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

    def deadline(self, seconds: float) -> LoopDeadline:
        """Raises DeadlineExceeded if the body is still running after `seconds`."""
        return LoopDeadline(max(0.0, seconds))

    async def heard(self, bell: Bell, seconds: float) -> bool:
        """Without an exception on the way, and so cheaper than a deadline."""
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), bell.hush)
        try:
            return await bell.wait()
        finally:
            timer.cancel()


class LoopDeadline:
    """asyncio's timeout with our error. A class, because each token of each stream waits in one."""

    __slots__ = ("_scope", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise DeadlineExceeded(f"not done within {self._seconds:.3f} s") from late
