"""All that one gateway knows of the workers: their load, and what KV they hold."""

from __future__ import annotations

from protocol.ids import WorkerId, WorkerIdentity
from protocol.kv_events import KvEvents
from protocol.messages import WorkerRecord
from router.board import Board
from router.desk import Desk
from router.index_feed import IndexFeed
from router.prefix_index import IndexLimits, PrefixIndex


class Outlook:
    """A life of a worker is in both or in neither, from its first link to its end. Its entries in the index
    outlive a link: most are still right when the next one opens."""

    def __init__(self, limits: IndexLimits) -> None:
        self.board = Board()
        self.index = PrefixIndex(limits)
        self._feed = IndexFeed(self.index)
        self._latest: dict[WorkerId, WorkerIdentity] = {}

    def join(self, record: WorkerRecord) -> Desk:
        """A link to this life of a worker is open."""
        identity = record.address.identity
        former = self._latest.get(identity.worker, identity)
        self._latest[identity.worker] = identity
        self._feed.join(identity)
        desk = self.board.join(record)
        self.board.index(former, self.index.slot(former))
        self.board.index(identity, self.index.slot(identity))
        return desk

    def leave(self, identity: WorkerIdentity) -> None:
        """This life of the worker is over."""
        if self._latest.get(identity.worker) == identity:
            del self._latest[identity.worker]
        self._feed.leave(identity)
        self.board.leave(identity)

    def apply(self, events: KvEvents) -> None:
        """What a worker says of its KV."""
        self._feed.apply(events)

    def wanting(self) -> tuple[WorkerIdentity, ...]:
        """Who is to be asked for a dump, now and again."""
        return self._feed.wanting()
