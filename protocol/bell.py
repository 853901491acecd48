"""A bell for one waiter: what an asyncio.Event does for a queue with one reader, at half its price."""

from __future__ import annotations

import asyncio


class Bell:
    """Whoever waits has looked first whether there is a need to; whoever changes that rings. A ring
    while nobody waits is not kept. It belongs to the loop on which it is first waited for: until Python
    3.12, to ask for the running loop is a system call."""

    __slots__ = ("_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[bool] | None = None

    def ring(self) -> None:
        """Wakes who waits."""
        self._wake(rung=True)

    def hush(self) -> None:
        """Wakes who waits, without a ring: its time is over."""
        self._wake(rung=False)

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

    def _wake(self, *, rung: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(rung)
