"""One transfer as its source sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from engine.sequence import Sequence
from protocol.errors import EngineFailed
from protocol.ids import BlockId, TransferId, WorkerIdentity
from protocol.mail import PeerId


class LeaseState(Enum):
    """Where a lease stands."""

    AWAITED = "awaited"
    """The reader attached before the request came. Lapses."""
    COMPUTING = "computing"
    """Blocks are the request's; full ones are published as they are finished."""
    PINNED = "pinned"
    """Everything is published; the blocks are held for the reader. Lapses."""
    RELEASED = "released"
    """Nothing is held."""


MOVES: dict[LeaseState, frozenset[LeaseState]] = {
    LeaseState.AWAITED: frozenset({LeaseState.COMPUTING, LeaseState.RELEASED}),
    LeaseState.COMPUTING: frozenset({LeaseState.PINNED, LeaseState.RELEASED}),
    LeaseState.PINNED: frozenset({LeaseState.RELEASED}),
    LeaseState.RELEASED: frozenset(),
}


@dataclass(slots=True)
class Lease:
    """Mutable record of one transfer; touched by the engine's thread only."""

    transfer: TransferId
    state: LeaseState
    deadline: float
    """On the source's own clock; meaningful where the state lapses."""
    sequence: Sequence | None = None
    reader: PeerId | None = None
    """The link to tell; None while there is none."""
    reader_identity: WorkerIdentity | None = None
    """Who attached first: the same may come back over a new link, nobody else may take over."""
    first_block: int = 0
    """The reader holds the blocks before this one already."""
    published: list[tuple[BlockId, int]] = field(default_factory=list)
    """(block, generation) by index in the prompt."""
    complete: bool = False
    """The last block is published."""

    @property
    def is_fetch(self) -> bool:
        """Whether the blocks are cached ones that the reader asked for, and no request's."""
        return self.state is LeaseState.PINNED and self.sequence is None

    def move(self, state: LeaseState) -> None:
        """Changes state by the table of allowed moves."""
        if state not in MOVES[self.state]:
            raise EngineFailed(f"lease {self.transfer} cannot go from {self.state.value} to {state.value}")
        self.state = state
