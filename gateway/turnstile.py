"""Where requests wait for a place: they try one by one in the order of the line, or several in one breath."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.fair_line import AT_ONCE_MOST, FairLine
from gateway.fair_order import Place
from gateway.ticket import Ticket
from gateway.turn import Turn
from protocol.clock import Clock
from router.overtaking import LOOK_AHEAD


class Turnstile:
    """After news, the few at the head of the line try, in its order of that moment: each when the one before
    it has found no place, or workers are asked for that one. Who comes meanwhile and stands among these few
    tries at once.

    While all find places, twice as many are called with each, for to plan and to book are one act: who is
    called in the same turn of the loop sees the bookings of those before it.
    """

    def __init__(self, clock: Clock, look_every_s: float) -> None:
        """`look_every_s`: without news, those who tried look again after so many seconds."""
        self._clock = clock
        self._look_every_s = look_every_s
        self._line = FairLine(clock.now)
        self._turns: dict[int, Turn] = {}
        """Of all who wait, by number."""
        self._tried: set[int] = set()
        """Who found no place since the last news."""
        self._active: dict[int, None] = {}
        """Who tries."""
        self._asked: dict[int, None] = {}
        """For whom workers are asked, while the next ones try: they keep their place in the line."""
        self._at_once = 1
        """How many may try in one turn of the loop."""
        self._stale = False
        """Whether news came while somebody tried."""

    @property
    def is_free(self) -> bool:
        """Whether nobody waits, nor tries."""
        return not self._turns

    @property
    def waiting(self) -> int:
        """How many wait, without those that try or for whom workers are asked."""
        return len(self._turns) - len(self._active) - len(self._asked)

    def ahead(self, place: Place) -> int:
        """How many would pass before one of that place: whoever tries, and lower ones."""
        return max(sum(other < place for other in self._line.places()), int(not self.is_free))

    @asynccontextmanager
    async def turn(self, ticket: Ticket) -> AsyncIterator[Turn]:
        """Waits until the line calls this ticket. A cancelled wait leaves no trace."""
        turn = Turn(ticket, self, self._clock, self._look_every_s)
        self._turns[ticket.number] = turn
        self._line.enter(ticket)
        self._call()
        try:
            await turn.called()
            yield turn
        finally:
            turn.awake.rest()
            if ticket.number in self._turns:
                self._line.withdraw(ticket)
                self._leave(turn)

    def is_active(self, turn: Turn) -> bool:
        """Whether it is to try."""
        return turn.ticket.number in self._active

    def one_by_one(self) -> None:
        """There is no more room for all: from now on each tries when the one before it has."""
        self._at_once = 1

    def pass_on(self, turn: Turn) -> None:
        """Workers are asked for it, so the next ones may try; if they refuse it stands where it stood."""
        if turn.ticket.number not in self._active:
            return
        if not self._tried:
            self._at_once = min(2 * self._at_once, AT_ONCE_MOST)
        self._asked[turn.ticket.number] = None
        self._ended(turn)

    def placed(self, turn: Turn) -> Place:
        """It leaves with a place at the workers; returns the one that it took in the fair order."""
        place = self._line.leave(turn.ticket)
        self._leave(turn)
        return place

    def failed(self, turn: Turn) -> None:
        """It found no place: the next of the few tries, or all wait for news."""
        self.one_by_one()
        self._tried.add(turn.ticket.number)
        self._asked.pop(turn.ticket.number, None)
        self._ended(turn)

    def news(self) -> None:
        """There may be a place where there was none: all who tried may try again."""
        self._stale = bool(self._active)
        if not self._stale:
            self._tried.clear()
            self._call()

    def _leave(self, turn: Turn) -> None:
        number = turn.ticket.number
        del self._turns[number]
        self._tried.discard(number)
        self._asked.pop(number, None)
        self._ended(turn)

    def _ended(self, turn: Turn) -> None:
        """It does not try any more; others may, also who moves up because it left."""
        self._active.pop(turn.ticket.number, None)
        self._call()
        if not self._active and self._stale:
            self.news()

    def _call(self) -> None:
        """Lets those try that have not since the last news, as many as may; but nobody before one that has
        just tried and still rests."""
        resting = any(self._turns[number].rests for number in self._active)
        for number in self._line.first(max(LOOK_AHEAD, self._at_once) + len(self._asked)):
            if resting or len(self._active) >= self._at_once:
                return
            if number not in self._tried and number not in self._active and number not in self._asked:
                self._active[number] = None
                self._turns[number].awake.ring()
                resting = self._turns[number].rests
