"""Where requests wait for a place: one tries at a time, first the one that the line calls."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from operator import attrgetter

from gateway.fair_line import FairLine
from gateway.fair_order import Place
from gateway.ticket import Ticket
from protocol.bell import Bell
from protocol.clock import Clock
from router.waiting_line import LOOK_AHEAD, OVERTAKEN_MOST


class Turn:
    """The stay of one who is inside, at a place in the fair order that need not be the one it came with."""

    def __init__(self, place: Place, turnstile: Turnstile) -> None:
        self.place = place
        self.over = False
        self.overtaken = 0
        """Places given to others whose own place is higher."""
        self.awake = Bell()
        self._turnstile = turnstile

    def pass_on(self) -> None:
        """It is over, and the next one tries; twice is harmless."""
        if not self.over:
            self.over = True
            self._turnstile.leave(self)

    def placed(self) -> None:
        """It got a place."""
        self._turnstile.placed(self)

    async def others_try(self, news: Callable[[], Awaitable[None]]) -> None:
        """It found no place. Returns when it is to try again: a few behind it have tried, and `news`
        came, for which the last of them waits."""
        if not self._turnstile.hand_over(self):
            await news()
            self._turnstile.begin_again()
        while not self._turnstile.is_active(self):
            await self.awake.wait()


class Turnstile:
    """A lock that goes to whoever the line calls. It is handed over, so nobody slips in between. Whoever is
    inside and finds no place lets a few behind it try as well, one after another, and then waits."""

    def __init__(self, clock: Clock) -> None:
        self._line = FairLine(clock.now)
        self._called: dict[int, asyncio.Future[Turn]] = {}
        """By order of arrival: what each who waits outside is told when it is called."""
        self._inside: list[Turn] = []
        """By place. One of them is active, or nobody is inside."""
        self._active: Turn | None = None

    @property
    def is_free(self) -> bool:
        """Whether nobody is inside; then nobody waits either."""
        return not self._inside

    @property
    def waiting(self) -> int:
        """How many wait, without the one that is active."""
        return len(self._called) + max(0, len(self._inside) - 1)

    def ahead(self, place: Place) -> int:
        """How many would pass before one of that place: whoever is active, and lower ones."""
        lower = sum(turn.place < place for turn in self._inside)
        return max(lower, int(not self.is_free)) + sum(other < place for other in self._line.places())

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[Turn]:
        """Waits until the line calls this ticket. A cancelled wait leaves no trace."""
        turn = await self._enter(ticket)
        try:
            yield turn
        finally:
            turn.pass_on()

    async def _enter(self, ticket: Ticket) -> Turn:
        if not self._inside:
            return self._admit(ticket.place)
        called: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._called[ticket.number] = called
        self._line.enter(ticket)
        try:
            return await called
        except asyncio.CancelledError:
            if called.cancelled():
                self._withdraw(ticket)
            else:  # its turn had come already
                called.result().pass_on()
            raise

    def _withdraw(self, ticket: Ticket) -> None:
        if self._called.pop(ticket.number, None) is not None:
            self._line.withdraw(ticket)

    def _admit(self, place: Place) -> Turn:
        turn = Turn(place, self)
        insort(self._inside, turn, key=attrgetter("place"))
        self._active = turn
        return turn

    def _call(self) -> bool:
        """Lets in the next one that waits outside; whether there was one."""
        while self._called:
            ticket, place = self._line.call()
            called = self._called.pop(ticket.number)
            if not called.done():  # else its wait was cancelled a moment ago
                called.set_result(self._admit(place))
                return True
        return False

    def leave(self, turn: Turn) -> None:
        """It goes; if it was active, the one behind it is next."""
        number = self._inside.index(turn)
        del self._inside[number]
        if self._active is turn:
            self._active = None
            if not self._hand_on(number) and self._inside:
                self.begin_again()

    def hand_over(self, turn: Turn) -> bool:
        """Makes the one behind it active, if there is one that may try."""
        return self._hand_on(self._inside.index(turn) + 1)

    def begin_again(self) -> None:
        """Makes the one active whose place is the lowest."""
        self._wake(self._inside[0])

    def is_active(self, turn: Turn) -> bool:
        """Whether it is to try."""
        return self._active is turn

    def placed(self, turn: Turn) -> None:
        """It got a place, before those of lower places that are still inside."""
        for other in self._inside:
            if other.place < turn.place:
                other.overtaken += 1

    def _hand_on(self, number: int) -> bool:
        if any(turn.overtaken >= OVERTAKEN_MOST for turn in self._inside[:number]):
            return False
        if number < len(self._inside):
            self._wake(self._inside[number])
            return True
        return number < LOOK_AHEAD and self._call()

    def _wake(self, turn: Turn) -> None:
        self._active = turn
        turn.awake.ring()
