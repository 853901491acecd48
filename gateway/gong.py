"""Tells who waits for a place that there may be one: nobody has to look again and again."""

from __future__ import annotations

import asyncio

from protocol.clock import Clock
from protocol.errors import DeadlineExceeded


class Gong:
    """Rings are counted, so one that comes while somebody is busy is not missed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[asyncio.Future[None]] = []
        self.rings = 0

    def ring(self) -> None:
        """Something has changed."""
        self.rings += 1
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def heard(self, since: int, within_s: float) -> None:
        """Returns as soon as there are more rings than `since`, after `within_s` seconds at the latest."""
        if self.rings != since:
            return
        rung = asyncio.get_running_loop().create_future()
        self._waiting.append(rung)
        try:
            async with self._clock.deadline(within_s):
                await rung
        except DeadlineExceeded:
            return
        finally:
            if rung in self._waiting:
                self._waiting.remove(rung)
