"""Tells each gateway which KV blocks are here: a dump in slices at first, then what changes."""

from __future__ import annotations

from dataclasses import dataclass

from engine.block_pool import BlockPool
from engine.kv_journal import KvChanges
from protocol.ids import WorkerIdentity
from protocol.kv_events import Cleared, Evicted, KvEvent, KvEvents, Stored, packed_keys
from protocol.mail import Outbound, PeerId

SLICE_BLOCKS = 2048
"""Blocks that one frame of a dump looks at: well below a millisecond."""


@dataclass(slots=True)
class _Stream:
    """What one gateway was told."""

    sequence: int = 0
    """Number of its next frame."""
    begun: bool = False
    """It was told Cleared, so from then on it has to hear of every change."""
    dumped: int = 0
    """Blocks below this number were looked at; what changes there later is told as a change."""


class KvTeller:
    """The journal's one reader. Whatever it tells is true of the pool at the time of `take`."""

    def __init__(self, pool: BlockPool, identity: WorkerIdentity, slice_blocks: int = SLICE_BLOCKS) -> None:
        self._pool = pool
        self._slice_blocks = slice_blocks
        self._identity = identity
        self._streams: dict[PeerId, _Stream] = {}

    @property
    def dumping(self) -> bool:
        """Whether some gateway has not heard of every block yet."""
        return any(stream.dumped < self._pool.total for stream in self._streams.values())

    def begin(self, peer: PeerId) -> None:
        """A gateway is to be told everything, perhaps once more."""
        stream = self._streams.setdefault(peer, _Stream())
        stream.begun = False
        stream.dumped = 0

    def end(self, peer: PeerId) -> None:
        """A link is gone."""
        self._streams.pop(peer, None)

    def take(self) -> list[Outbound]:
        """At most one frame a gateway: what changed since the last call, and for one of those who wait for
        their dump its next slice. With nobody to tell the changes are dropped."""
        changes = _told(self._pool.journal.drain())
        behind = (peer for peer, stream in self._streams.items() if stream.dumped < self._pool.total)
        turn = next(behind, None)
        mail: list[Outbound] = []
        for peer, stream in self._streams.items():
            events = changes if stream.begun else ()
            if peer == turn:
                events += self._slice(stream)
            if events:
                mail.append(Outbound(peer, KvEvents(self._identity, stream.sequence, events)))
                stream.sequence += 1
        return mail

    def _slice(self, stream: _Stream) -> tuple[KvEvent, ...]:
        opening = () if stream.begun else (Cleared(),)
        stream.begun = True
        found = self._pool.findable(stream.dumped, stream.dumped + self._slice_blocks)
        stream.dumped += self._slice_blocks
        return (*opening, Stored(packed_keys(found))) if found else opening


def _told(changes: KvChanges) -> tuple[KvEvent, ...]:
    gone = (Evicted(packed_keys(changes.evicted)),) if changes.evicted else ()
    return (*gone, Stored(packed_keys(changes.stored))) if changes.stored else gone
