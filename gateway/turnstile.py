"""Where requests wait for a place: one passes at a time, always the one whose place is the lowest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.fair_order import Place


class Turn:
    """The stay of one who is inside."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self.over = False

    def pass_on(self) -> None:
        """Lets the next one in; twice is harmless."""
        if not self.over:
            self.over = True
            self._leave()


class Turnstile:
    """A lock that goes to the lowest place. It is handed over, so nobody slips in between."""

    def __init__(self) -> None:
        self._waiting: dict[Place, asyncio.Future[None]] = {}
        self._taken = False

    @property
    def is_free(self) -> bool:
        """Whether nobody is inside; then nobody waits either."""
        return not self._taken

    @property
    def waiting(self) -> int:
        """How many wait, without whoever is inside."""
        return len(self._waiting)

    def ahead(self, place: Place) -> int:
        """How many would pass before one of that place: whoever is inside, and lower ones."""
        return int(self._taken) + sum(other < place for other in self._waiting)

    @asynccontextmanager
    async def turn(self, place: Place) -> AsyncIterator[Turn]:
        """Waits until nobody with a lower `place` waits and nobody is inside. A cancelled wait leaves
        no trace. Places are unique among those who wait."""
        await self._enter(place)
        turn = Turn(self._leave)
        try:
            yield turn
        finally:
            turn.pass_on()

    async def _enter(self, place: Place) -> None:
        if not self._taken:
            self._taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[place] = turn
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.pop(place, None)
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
