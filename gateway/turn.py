"""The stay of one request that waits for a place."""

from __future__ import annotations

from typing import Protocol

from gateway.fair_order import Place
from gateway.ticket import Ticket
from protocol.bell import Bell
from protocol.clock import Clock

TRY_GAP_S = 0.002
"""Between two tries of one who waits, however often there is news."""


class Rounds(Protocol):
    """Who says whose try it is."""

    def is_active(self, turn: Turn) -> bool:
        """Whether it is this one's."""

    def pass_on(self, turn: Turn) -> None:
        """Workers are asked for it, so the next ones may try; if they refuse it stands where it stood."""

    def placed(self, turn: Turn) -> Place:
        """It leaves with a place at the workers; returns the one that it took in the fair order."""

    def failed(self, turn: Turn) -> None:
        """It found no place: others try."""

    def news(self) -> None:
        """There may be a place where there was none."""


class Turn:
    """From its entry into the line until it has a place, or gives up."""

    def __init__(self, ticket: Ticket, rounds: Rounds, clock: Clock, look_every_s: float) -> None:
        self.ticket = ticket
        self.awake = Bell()
        self._rounds = rounds
        self._clock = clock
        self._look_every_s = look_every_s
        self._tried_at = float("-inf")

    @property
    def rests(self) -> bool:
        """Whether it has tried so lately that it waits before it tries again."""
        return self._clock.now() < self._tried_at + TRY_GAP_S

    async def called(self) -> None:
        """Returns when it is to try for the first time."""
        while not self._rounds.is_active(self):
            await self.awake.wait()
        self._tried_at = self._clock.now()

    def pass_on(self) -> None:
        """Workers are asked for it: the next ones try. Twice is harmless."""
        self._rounds.pass_on(self)

    def placed(self) -> Place:
        """Workers have admitted it; returns its place in the fair order, which need not be the one it came
        with."""
        return self._rounds.placed(self)

    async def others_try(self) -> None:
        """It found no place. Returns when it is to try again, which without any news is before long."""
        self._rounds.failed(self)
        while not self._rounds.is_active(self):
            if not await self._clock.heard(self.awake, self._look_every_s):
                self._rounds.news()
        if self.rests:
            await self._clock.sleep(self._tried_at + TRY_GAP_S - self._clock.now())
        self._tried_at = self._clock.now()
