"""One read of the memory transport, and what its landing does to memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.arena import Arena
from kv_transfer.read_fate import ReadFate
from kv_transfer.transport import BlockPair, ReadState
from protocol.ids import WorkerIdentity

JUNK = 0xDB


@dataclass(slots=True)
class MemoryRead:
    """A posted read of blocks: `land` copies the next one from the source's memory as it is then."""

    source: WorkerIdentity
    fate: ReadFate
    target: Arena
    pairs: Sequence[BlockPair]
    state: ReadState = ReadState.PENDING
    landed: int = 0

    @property
    def parts(self) -> int:
        """Blocks that land one after the other."""
        return len(self.pairs)

    def land(self, remote: Arena) -> None:
        """The next block."""
        pair = self.pairs[self.landed]
        self.target.data[pair.local] = remote.data[pair.remote]

    def spoil(self) -> None:
        """Junk in part of the next block, as when a connection breaks in its midst."""
        self.target.data[self.pairs[self.landed].local, : max(1, self.target.block_bytes // 2)] = JUNK

    def fail(self) -> None:
        """Nothing more lands; without effect on a terminal read."""
        if self.state is ReadState.PENDING:
            self.state = ReadState.FAILED


@dataclass(slots=True)
class MemoryGenerationRead(MemoryRead):
    """A posted read of generation numbers: all land at once, in memory of their own."""

    blocks: Sequence[int] = ()
    numbers: tuple[int, ...] = ()

    @property
    def parts(self) -> int:
        """One, unless nothing is asked."""
        return 1 if self.blocks else 0

    def land(self, remote: Arena) -> None:
        """All numbers, as they are now."""
        self.numbers = tuple(int(number) for number in remote.generations[list(self.blocks)])

    def spoil(self) -> None:
        """Numbers of a failed read are never shown."""
