"""The seam of one-sided KV reads between workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol

from protocol.messages import SourceFacts

ReadId = NewType("ReadId", int)


class ReadState(Enum):
    """Where one posted read stands. DONE and FAILED are terminal: nothing lands afterwards."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BlockPair:
    """Copy the source's block `remote` into our block `local`."""

    remote: int
    local: int


class Transport(Protocol):
    """Non-blocking reads of whole blocks and of generation numbers. One agent per peer.

    A read cannot be cancelled: only `close_peer` ends it, by destroying that peer's agent.
    Peers are named by SourceFacts.identity; a restarted worker is another peer.
    """

    def local_agent(self) -> bytes:
        """Metadata by which others can read this arena."""
        ...

    def connect(self, source: SourceFacts) -> None:
        """Starts to make `source` readable; its reads queue behind that. Idempotent. Never blocks;
        a failure shows as FAILED reads."""
        ...

    def read_blocks(self, source: SourceFacts, pairs: Sequence[BlockPair]) -> ReadId:
        """Posts one read into blocks of the local arena. The caller keeps the posts small
        (Limits.post_bytes): on one host a post copies its bytes."""
        ...

    def read_generations(self, source: SourceFacts, blocks: Sequence[int]) -> ReadId:
        """Posts one read of the source's generation numbers of these blocks."""
        ...

    def poll(self, read: ReadId) -> ReadState:
        """State of a read. Terminal states stay until `forget`."""
        ...

    def generations(self, read: ReadId) -> tuple[int, ...]:
        """The numbers that a DONE read_generations brought, in the order asked."""
        ...

    def forget(self, read: ReadId) -> None:
        """Drops the record of a terminal read."""
        ...

    def close_peer(self, source: SourceFacts) -> None:
        """Destroys that peer's agent: after this returns nothing of its reads lands any more, and its
        pending reads are FAILED. The fence of last resort."""
        ...

    def close(self) -> None:
        """Destroys every agent."""
        ...
