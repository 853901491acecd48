"""Where requests wait for a place: one passes at a time, always the one that arrived first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turnstile:
    """A lock that goes to the lowest number. It is handed over, so nobody slips in between."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._taken = False

    @property
    def is_free(self) -> bool:
        """Whether nobody is inside; then nobody waits either."""
        return not self._taken

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """Waits until nobody with a lower `number` waits and nobody is inside. A cancelled wait leaves
        no trace. Numbers are unique among those who wait."""
        await self._enter(number)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, number: int) -> None:
        if not self._taken:
            self._taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[number] = turn
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.pop(number, None)
            if not turn.cancelled():  # the turn had come already
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.pop(min(self._waiting))
            if not turn.done():  # else its wait was cancelled a moment ago
                turn.set_result(None)
                return
        self._taken = False
