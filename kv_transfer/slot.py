"""One transfer as its reader sees it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from kv_transfer.transport import ReadId
from protocol.errors import EngineFailed
from protocol.ids import BlockId, TransferId
from protocol.mail import PeerId
from protocol.messages import Published, SourceFacts, WorkerAddress


class SlotState(Enum):
    """Where a slot stands."""

    HELLO = "hello"
    """The source has been asked, and has not answered."""
    READ = "read"
    """Published blocks are read as they come."""
    VERIFY = "verify"
    """All data is here; the generation numbers are read."""
    READY = "ready"
    """Verified: the request may join."""
    DRAIN = "drain"
    """Failed or cancelled with reads in flight: the blocks are in quarantine."""
    ENDED = "ended"
    """Nothing is held and nothing is in flight."""


MOVES: dict[SlotState, frozenset[SlotState]] = {
    SlotState.HELLO: frozenset({SlotState.READ, SlotState.DRAIN, SlotState.ENDED}),
    SlotState.READ: frozenset({SlotState.VERIFY, SlotState.DRAIN, SlotState.ENDED}),
    SlotState.VERIFY: frozenset({SlotState.READY, SlotState.DRAIN, SlotState.ENDED}),
    SlotState.READY: frozenset({SlotState.ENDED}),
    SlotState.DRAIN: frozenset({SlotState.ENDED}),
    SlotState.ENDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A block that the source has published and that is not read yet."""

    local: BlockId
    remote: int
    generation: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """A posted read that has not ended."""

    copied: int
    """Bytes that it brings."""
    posted_at: float


@dataclass(slots=True)
class Slot:
    """Mutable record of one transfer; touched by the engine's thread only."""

    transfer: TransferId
    address: WorkerAddress
    peer: PeerId
    blocks: tuple[BlockId, ...]
    """Destination by index in the prompt."""
    next_block: int
    """First index that is not published yet; everything before it is here or wanted."""
    deadline: float
    """For the answer in HELLO, for the generation numbers in VERIFY, for the fence in DRAIN."""
    state: SlotState = SlotState.HELLO
    source: SourceFacts | None = None
    wanted: deque[Wanted] = field(default_factory=deque)
    read: list[Wanted] = field(default_factory=list)
    """Posted or landed, in order; their generations are verified at the end."""
    reads: dict[ReadId, InFlight] = field(default_factory=dict)
    verification: ReadId | None = None
    posted_at: float | None = None
    """When the first read was posted."""
    complete: bool = False
    """The source has published its last block."""
    partial: bool = False
    """The source may end before the last block: what it has is welcome."""

    def oldest_read_s(self, now: float) -> float:
        """Seconds since the oldest read in flight was posted; 0 without one."""
        return max((now - read.posted_at for read in self.reads.values()), default=0.0)

    def publish(self, frame: Published) -> bool:
        """Wants what the source has published; False, and nothing is changed, if that cannot be."""
        end = frame.first_block + len(frame.blocks)
        total = 0 if self.source is None else self.source.num_blocks
        in_order = 0 <= frame.first_block <= self.next_block and end <= len(self.blocks)
        in_range = all(0 <= block < total for block in frame.blocks)
        if not (in_order and in_range) or len(frame.blocks) != len(frame.generations):
            return False
        for index in range(self.next_block, end):
            offset = index - frame.first_block
            self.wanted.append(Wanted(self.blocks[index], frame.blocks[offset], frame.generations[offset]))
        self.next_block = max(self.next_block, end)
        self.complete = frame.last
        return True

    def move(self, state: SlotState) -> None:
        """Changes state by the table of allowed moves."""
        if state not in MOVES[self.state]:
            raise EngineFailed(f"slot {self.transfer} cannot go from {self.state.value} to {state.value}")
        self.state = state
