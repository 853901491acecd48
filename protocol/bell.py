"""A bell for one waiter: what an asyncio.Event does for a queue with one reader, at half its price."""

from __future__ import annotations

import asyncio


class Bell:
    """Whoever waits has looked first whether there is a need to; whoever changes that rings. A ring
    while nobody waits is not kept."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[bool] | None = None

    def ring(self) -> None:
        """Wakes who waits."""
        self._wake(rung=True)

    def hush(self) -> None:
        """Wakes who waits, without a ring: its time is over."""
        self._wake(rung=False)

    async def wait(self) -> bool:
        """Whether it rang. For one waiter at a time."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        try:
            return await waiter
        finally:
            self._waiter = None

    def _wake(self, *, rung: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(rung)
