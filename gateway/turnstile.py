"""Where requests wait for a place: one tries at a time, first the one that the line calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.fair_line import FairLine
from gateway.fair_order import Place
from gateway.ticket import Ticket
from gateway.turn import Turn
from protocol.clock import Clock
from router.overtaking import LOOK_AHEAD


class Turnstile:
    """After news, those at the head of the line try, one after another, as the line orders them at that
    moment: a few, until one is asked for by nobody behind it. Who comes meanwhile and stands among these few
    tries at once."""

    def __init__(self, clock: Clock, look_every_s: float) -> None:
        """`look_every_s`: without news, those who tried look again after so many seconds."""
        self._clock = clock
        self._look_every_s = look_every_s
        self._line = FairLine(clock.now)
        self._turns: dict[int, Turn] = {}
        """Of all who wait, by number."""
        self._tried: set[int] = set()
        """Who found no place since the last news."""
        self._active: Turn | None = None
        self._stale = False
        """Whether news came while somebody tried."""

    @property
    def is_free(self) -> bool:
        """Whether nobody waits, nor tries."""
        return not self._turns

    @property
    def waiting(self) -> int:
        """How many wait, without the one that tries."""
        return len(self._turns) - (self._active is not None)

    def ahead(self, place: Place) -> int:
        """How many would pass before one of that place: whoever tries, and lower ones."""
        return max(sum(other < place for other in self._line.places()), int(not self.is_free))

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[Turn]:
        """Waits until the line calls this ticket. A cancelled wait leaves no trace."""
        turn = Turn(ticket, self, self._clock, self._look_every_s)
        self._turns[ticket.number] = turn
        self._line.enter(ticket)
        if self._active is None:
            self._call()
        try:
            await turn.called()
            yield turn
        finally:
            turn.awake.rest()
            if not turn.over:
                turn.over = True
                self._line.withdraw(ticket)
                self._leave(turn)

    def is_active(self, turn: Turn) -> bool:
        """Whether it is to try."""
        return self._active is turn

    def pass_on(self, turn: Turn) -> Place:
        """It needs no more tries, and the next one has its own; returns the place that it took."""
        place = self._line.leave(turn.ticket)
        self._leave(turn)
        return place

    def failed(self, turn: Turn) -> None:
        """It found no place: the next of the few tries, or all wait for news."""
        self._tried.add(turn.ticket.number)
        self._active = None
        if not self._call() and self._stale:
            self.news()

    def news(self) -> None:
        """There may be a place where there was none: all who tried may try again."""
        self._stale = self._active is not None
        if not self._stale:
            self._tried.clear()
            self._call()

    def _leave(self, turn: Turn) -> None:
        number = turn.ticket.number
        del self._turns[number]
        self._tried.discard(number)
        if self._active is turn:
            self._active = None
            if not self._call() and self._stale:
                self.news()

    def _call(self) -> bool:
        """Lets the next one try; whether there is one that has not since the last news."""
        for number in self._line.first(LOOK_AHEAD):
            if number not in self._tried:
                self._active = self._turns[number]
                self._active.awake.ring()
                return True
        return False
