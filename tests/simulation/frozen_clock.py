"""A clock on which an engine can be stopped: what SIGSTOP does to a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from protocol.clock import LoopClock


class FreezingClock:
    """As LoopClock, but whoever sleeps on it wakes no earlier than the thaw."""

    def __init__(self, offset: float) -> None:
        self._clock = LoopClock(offset)
        self._thawed = asyncio.Event()
        self._thawed.set()

    def freeze(self) -> None:
        """Nobody wakes from now on."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Everybody goes on."""
        self._thawed.set()

    def now(self) -> float:
        """Goes on while frozen, as real clocks do."""
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`, and after the thaw."""
        await self._clock.sleep(seconds)
        await self._thawed.wait()

    @asynccontextmanager
    async def deadline(self, seconds: float) -> AsyncIterator[None]:
        """Whatever ends the wait is noticed after the thaw."""
        try:
            async with self._clock.deadline(seconds):
                yield
        finally:
            await self._thawed.wait()
