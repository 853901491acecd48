"""Requests that ended engines, remembered for a while, so that sending them again ends none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from protocol.clock import Clock
from protocol.errors import Quarantined
from protocol.messages import Poisonous
from protocol.request import Request

MAX_REMEMBERED = 4096
"""Of the oldest, one is forgotten for each that comes on top."""


class Quarantine:
    """Knows requests by what an engine computes of them: prompt and sampling, not id and seed. Gateways
    tell each other through their workers."""

    def __init__(self, clock: Clock, for_s: float, tell: Callable[[Poisonous], None]) -> None:
        """`tell` is called with what is found out here."""
        self._clock = clock
        self._for_s = for_s
        self._tell = tell
        self._until: dict[bytes, float] = {}

    def check(self, request: Request) -> None:
        """Raises Quarantined if such a request is here."""
        if self._until and self._until.get(_digest(request), float("-inf")) > self._clock.now():
            raise Quarantined("engines died computing such a request a while ago: it is not tried again")

    def put(self, request: Request) -> None:
        """Refuses its like from now on."""
        found = Poisonous(_digest(request), self._for_s)
        self.hear(found)
        self._tell(found)

    def hear(self, said: Poisonous) -> None:
        """What another gateway has found out."""
        self._until[said.digest] = self._clock.now() + min(said.for_s, self._for_s)
        if len(self._until) > MAX_REMEMBERED:
            del self._until[next(iter(self._until))]

    def known(self) -> tuple[Poisonous, ...]:
        """All that is refused now."""
        left = [(digest, until - self._clock.now()) for digest, until in self._until.items()]
        return tuple(Poisonous(digest, left_s) for digest, left_s in left if left_s > 0)


def _digest(request: Request) -> bytes:
    sampling = msgspec.structs.replace(request.sampling, seed=0, choice=0)
    return hashlib.sha256(msgspec.msgpack.encode((request.salt, request.prompt, sampling))).digest()
