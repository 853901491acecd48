"""Where requests wait for a place: one passes at a time, always the one that the line calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.fair_line import FairLine
from gateway.fair_order import Place
from gateway.ticket import Ticket
from protocol.clock import Clock


class Turn:
    """The stay of one who is inside, at a place in the fair order that need not be the one it came with."""

    def __init__(self, place: Place, leave: Callable[[], None]) -> None:
        self.place = place
        self._leave = leave
        self.over = False

    def pass_on(self) -> None:
        """Lets the next one in; twice is harmless."""
        if not self.over:
            self.over = True
            self._leave()


class Turnstile:
    """A lock that goes to whoever the line calls. It is handed over, so nobody slips in between."""

    def __init__(self, clock: Clock) -> None:
        self._line = FairLine(clock)
        self._called: dict[int, asyncio.Future[Place]] = {}
        """By order of arrival: what each who waits is told when it is called."""
        self._taken = False

    @property
    def is_free(self) -> bool:
        """Whether nobody is inside; then nobody waits either."""
        return not self._taken

    @property
    def waiting(self) -> int:
        """How many wait, without whoever is inside."""
        return len(self._called)

    def ahead(self, place: Place) -> int:
        """How many would pass before one of that place: whoever is inside, and lower ones."""
        return int(self._taken) + sum(other < place for other in self._line.places())

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[Turn]:
        """Waits until nobody is inside and the line calls this ticket. A cancelled wait leaves no trace."""
        turn = Turn(await self._enter(ticket), self._leave)
        try:
            yield turn
        finally:
            turn.pass_on()

    async def _enter(self, ticket: Ticket) -> Place:
        if not self._taken:
            self._taken = True
            return ticket.place
        called: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._called[ticket.number] = called
        self._line.enter(ticket)
        try:
            return await called
        except asyncio.CancelledError:
            if called.cancelled():
                self._withdraw(ticket)
            else:  # its turn had come already
                self._leave()
            raise

    def _withdraw(self, ticket: Ticket) -> None:
        if self._called.pop(ticket.number, None) is not None:
            self._line.withdraw(ticket)

    def _leave(self) -> None:
        while self._called:
            ticket, place = self._line.call()
            called = self._called.pop(ticket.number)
            if not called.done():  # else its wait was cancelled a moment ago
                called.set_result(place)
                return
        self._taken = False
