"""Brings what workers say into the prefix index: in order, of their present life, and nothing twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from protocol.ids import WorkerId, WorkerIdentity
from protocol.kv_events import Cleared, Evicted, KvEvent, KvEvents, Stored
from router.block_keys import unpacked_keys
from router.prefix_index import PrefixIndex


class FeedOutcome(Enum):
    """What became of one frame."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """Its number was seen before."""
    STRANGER = "stranger"
    """Of another life of the worker, or of a worker that is not here."""
    GAP = "gap"
    """Something before it is missing, or it cannot be read: from now on the worker wants a dump."""
    AWAITING = "awaiting"
    """Not applied, as the dump has not begun."""


@dataclass(slots=True)
class _Stream:
    """How far one worker's events have come on its present link."""

    next: int = 0
    awaiting: bool = True
    """Nothing can be applied until the worker begins anew."""


class IndexFeed:
    """Events of each worker, by number. After a gap, and after a new link to the same life, the entries
    stay, as most are still right, until the worker begins anew with Cleared."""

    def __init__(self, index: PrefixIndex) -> None:
        self._index = index
        self._identity: dict[WorkerId, WorkerIdentity] = {}
        self._streams: dict[WorkerIdentity, _Stream] = {}
        self.outcomes: Counter[FeedOutcome] = Counter()
        """Frames so far."""

    def join(self, worker: WorkerIdentity) -> None:
        """A link to this life of the worker is open: an older life is void. With more workers than the
        index has room for, this one is left out of it."""
        older = self._identity.get(worker.worker)
        if older is not None and older != worker:
            self.leave(older)
        if self._index.join(worker):
            self._identity[worker.worker] = worker
            self._streams[worker] = _Stream()

    def leave(self, worker: WorkerIdentity) -> None:
        """The worker is gone, and its entries with it. The end of an older life changes nothing."""
        if self._streams.pop(worker, None) is not None:
            del self._identity[worker.worker]
            self._index.leave(worker)

    def wanting(self) -> tuple[WorkerIdentity, ...]:
        """Workers whose dump has not begun: to be asked for it, now and again."""
        return tuple(worker for worker, stream in self._streams.items() if stream.awaiting)

    def apply(self, frame: KvEvents) -> FeedOutcome:
        """Brings one frame in, or says why not."""
        outcome = self._outcome(frame)
        self.outcomes[outcome] += 1
        return outcome

    def _outcome(self, frame: KvEvents) -> FeedOutcome:
        stream = self._streams.get(frame.identity)
        if stream is None:
            return FeedOutcome.STRANGER
        if frame.sequence < stream.next:
            return FeedOutcome.REPEATED
        in_order = frame.sequence == stream.next and not stream.awaiting
        stream.next = frame.sequence + 1
        if not in_order and not _begins_anew(frame):
            return self._lost(stream)
        try:
            for event in frame.events:
                self._apply(frame.identity, event)
        except ValueError:  # keys cut off in the middle
            return self._lost(stream)
        stream.awaiting = False
        return FeedOutcome.APPLIED

    @staticmethod
    def _lost(stream: _Stream) -> FeedOutcome:
        outcome = FeedOutcome.AWAITING if stream.awaiting else FeedOutcome.GAP
        stream.awaiting = True
        return outcome

    def _apply(self, worker: WorkerIdentity, event: KvEvent) -> None:
        match event:
            case Stored(keys=keys, tier=tier):
                self._index.store(worker, unpacked_keys(keys), tier)
            case Evicted(keys=keys):
                self._index.evict(worker, unpacked_keys(keys))
            case Cleared():
                self._index.clear(worker)


def _begins_anew(frame: KvEvents) -> bool:
    return bool(frame.events) and isinstance(frame.events[0], Cleared)
