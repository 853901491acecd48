"""Requests that engines died of, as gateways say: each gateway is told what the others found out."""

from __future__ import annotations

from protocol.mail import Outbound, PeerId
from protocol.messages import Poisonous

MAX_REMEMBERED = 4096
"""Of the oldest, one is forgotten for each that comes on top."""


class PoisonList:
    """Knows the gateways that are linked, and passes on to them what it has not heard before."""

    def __init__(self) -> None:
        self._gateways: dict[PeerId, None] = {}
        self._until: dict[bytes, float] = {}

    def welcome(self, peer: PeerId, now: float) -> list[Outbound]:
        """A gateway is linked: it is told everything."""
        self._gateways[peer] = None
        known = [(digest, until - now) for digest, until in self._until.items() if until > now]
        return [Outbound(peer, Poisonous(digest, left_s)) for digest, left_s in known]

    def forget(self, peer: PeerId) -> None:
        """A link is gone."""
        self._gateways.pop(peer, None)

    def hear(self, said: Poisonous, peer: PeerId, now: float) -> list[Outbound]:
        """What is news goes to all other gateways."""
        if peer not in self._gateways or self._until.get(said.digest, now) > now:
            return []
        self._until[said.digest] = now + said.for_s
        if len(self._until) > MAX_REMEMBERED:
            del self._until[next(iter(self._until))]
        return [Outbound(other, said) for other in self._gateways if other != peer]
