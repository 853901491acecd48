"""What workers said of one attempt, in order of arrival."""

from __future__ import annotations

from collections import deque

import msgspec

from protocol.bell import Bell
from protocol.clock import Clock
from protocol.errors import BatonError, DeadlineExceeded, WorkerLost
from protocol.ids import WorkerIdentity
from protocol.messages import Admitted, Failed, Refused, TokenDelta

Said = Admitted | Refused | Failed | TokenDelta | WorkerLost


class Heard(msgspec.Struct, frozen=True):
    """One thing that one worker said, or the news of its loss. One is made for each token, so it is of the
    cheapest kind."""

    worker: WorkerIdentity
    said: Said


class Inbox:
    """Filled by the links' readers, emptied by the attempt. Bounded."""

    def __init__(self, clock: Clock, room: int) -> None:
        self._clock = clock
        self._room = room
        self._heard: deque[Heard] = deque()
        self._bell = Bell()
        self._overrun = False

    def put(self, worker: WorkerIdentity, said: Said) -> None:
        """Never waits; a full inbox ends its attempt, not its link. What comes after is lost too, so
        that what was kept has no gap."""
        if len(self._heard) >= self._room:
            self._overrun = True
        if not self._overrun:
            self._heard.append(Heard(worker, said))
            if len(self._heard) == 1:  # whoever waits has found nothing here
                self._bell.ring()

    def close(self) -> None:
        """Nobody waits here any more; twice is harmless."""
        self._bell.rest()

    @property
    def waiting(self) -> int:
        """How much was heard and not taken out."""
        return len(self._heard)

    def following(self, index: int) -> list[TokenDelta]:
        """Takes out what was heard next, as far as it is tokens that go on at `index`, up to a finish."""
        found: list[TokenDelta] = []
        while self._heard:
            said = self._heard[0].said
            if not isinstance(said, TokenDelta) or said.first_index != index or not said.tokens:
                break
            index += len(said.tokens)
            found.append(said)
            self._heard.popleft()
            if said.finish is not None:
                break
        return found

    async def next(self, within_s: float) -> Heard:
        """The next thing heard. Raises DeadlineExceeded after `within_s` seconds, and BatonError when
        all that was kept before the overrun has been read."""
        if self._overrun and not self._heard:
            raise BatonError("the client reads too slowly")
        if within_s <= 0:  # what has arrived is late as well
            raise DeadlineExceeded("no time is left")
        if not self._heard and not await self._clock.heard(self._bell, within_s) and not self._heard:
            raise DeadlineExceeded(f"nothing was heard within {within_s:.3f} s")
        return self._heard.popleft()
