"""Time as the parts see it: now, sleep, and two bounds of a wait. Nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Protocol

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
        """Waits for the bell, for `seconds` at most; whether it rang. Who waits no more lets it rest."""
        ...


class LoopClock:
    """The time of an event loop plus an offset: real on a real loop, virtual on a VirtualLoop. It belongs
    to the loop on which it is first asked, as a Bell does and for the same reason."""

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Monotonic seconds; the offset keeps two nodes' clocks from being comparable."""
        return (self._loop or self._bind()).time() + self._offset

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`; zero yields once."""
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            bell = Bell(self._loop or self._bind())
            try:
                await self.heard(bell, seconds)
            finally:
                bell.rest()

    def deadline(self, seconds: float) -> LoopDeadline:
        """Raises DeadlineExceeded if the body is still running after `seconds`."""
        return LoopDeadline(max(0.0, seconds))

    def heard(self, bell: Bell, seconds: float) -> Coroutine[Any, Any, bool]:
        """Without an exception on the way, and so cheaper than a deadline. To be awaited at once."""
        bell.hush_within(seconds)
        return bell.wait()

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop


class LoopDeadline:
    """asyncio's timeout at half its price, as it need not be moved: each request waits in several."""

    __slots__ = ("_cancelling", "_late", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._late = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline belongs to a task")
        self._task, self._cancelling = task, task.cancelling()
        loop = task.get_loop()
        if self._seconds > 0:
            self._timer: asyncio.Handle = loop.call_later(self._seconds, self._expire)
        else:
            self._timer = loop.call_soon(self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A cancellation that is not the deadline's own, or not alone, stays one."""
        self._timer.cancel()
        if not self._late:
            return
        ours = self._task.uncancel() <= self._cancelling
        if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise DeadlineExceeded(f"not done within {self._seconds:.3f} s") from error

    def _expire(self) -> None:
        self._late = True
        self._task.cancel()
