"""The links that a reader of KV has asked for: one per source incarnation."""

from __future__ import annotations

from protocol.ids import WorkerIdentity
from protocol.mail import Dial, EngineOutbox, Outbound, PeerId
from protocol.messages import Attach, Fetch, Release, Renew, WorkerAddress


class SourceLinks:
    """Numbers for dialled peers, negative and never reused, and the mail for them."""

    def __init__(self) -> None:
        self._by_source: dict[WorkerIdentity, PeerId] = {}
        self._next = -1
        self._outbox: list[EngineOutbox] = []

    def reach(self, address: WorkerAddress) -> PeerId:
        """The number of the link to that incarnation, dialled if there is none."""
        peer = self._by_source.get(address.identity)
        if peer is None:
            peer = PeerId(self._next)
            self._next -= 1
            self._by_source[address.identity] = peer
            self._outbox.append(Dial(peer, address))
        return peer

    def lost(self, peer: PeerId) -> None:
        """Forgets a link; the next transfer dials again."""
        self._by_source = {source: p for source, p in self._by_source.items() if p != peer}

    def send(self, peer: PeerId, frame: Attach | Fetch | Renew | Release) -> None:
        """Queues a frame; one for a lost link is dropped by the host, and the lease covers it."""
        self._outbox.append(Outbound(peer, frame))

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call."""
        mail, self._outbox = self._outbox, []
        return mail
