"""A Transport whose reads land when the test says so, however late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.arena import Arena
from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.ids import WorkerIdentity
from protocol.messages import SourceFacts


@dataclass(slots=True)
class HandRead:
    """One posted read."""

    source: WorkerIdentity
    pairs: tuple[BlockPair, ...]
    """Empty: it reads generation numbers."""
    asked: tuple[int, ...]
    state: ReadState = ReadState.PENDING
    numbers: tuple[int, ...] = ()


class HandTransport:
    """Copies between arenas at `land`. Misuse by the caller (an unknown or unfinished read) raises."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.remotes: dict[WorkerIdentity, Arena] = {}
        """Memory that can be reached; reads from others only fail."""
        self.reads: dict[ReadId, HandRead] = {}
        self.connected: list[WorkerIdentity] = []
        self.fenced: list[WorkerIdentity] = []
        self.closed = False
        self._last = 0

    @property
    def pending(self) -> list[ReadId]:
        """Reads in flight, oldest first."""
        return [read for read, record in self.reads.items() if record.state is ReadState.PENDING]

    def targets(self) -> set[int]:
        """Local blocks in which something may still land."""
        return {pair.local for read in self.pending for pair in self.reads[read].pairs}

    def land(self, read: ReadId) -> None:
        """The read ends well: bytes, or generation numbers, are those of this moment."""
        record = self.reads[read]
        remote = self.remotes.get(record.source)
        if remote is None:
            self.fail(read)
            return
        for pair in record.pairs:
            self._arena.data[pair.local] = remote.data[pair.remote]
        record.numbers = tuple(int(remote.generations[block]) for block in record.asked)
        record.state = ReadState.DONE

    def land_all(self) -> None:
        """Everything in flight, oldest first."""
        for read in self.pending:
            self.land(read)

    def fail(self, read: ReadId) -> None:
        """The read ends badly, with junk where it was to land."""
        record = self.reads[read]
        for pair in record.pairs:
            self._arena.data[pair.local] = 0xEE
        record.state = ReadState.FAILED

    def local_agent(self) -> bytes:
        """Nobody reads from here."""
        return b"hand"

    def connect(self, source: SourceFacts) -> None:
        """Notes it."""
        self.connected.append(source.identity)

    def read_blocks(self, source: SourceFacts, pairs: Sequence[BlockPair]) -> ReadId:
        """Posts a read that is in flight until the test ends it."""
        assert source.identity in self.connected
        assert pairs
        assert not self.targets() & {pair.local for pair in pairs}, "two reads into one block"
        return self._post(HandRead(source.identity, tuple(pairs), ()))

    def read_generations(self, source: SourceFacts, blocks: Sequence[int]) -> ReadId:
        """Posts a read of generation numbers."""
        return self._post(HandRead(source.identity, (), tuple(blocks)))

    def poll(self, read: ReadId) -> ReadState:
        """As the test has it."""
        return self.reads[read].state

    def generations(self, read: ReadId) -> tuple[int, ...]:
        """Of a read that has landed."""
        assert self.reads[read].state is ReadState.DONE
        return self.reads[read].numbers

    def forget(self, read: ReadId) -> None:
        """Only what has ended may be forgotten."""
        assert self.reads.pop(read).state is not ReadState.PENDING

    def close_peer(self, source: SourceFacts) -> None:
        """The fence: nothing of this source lands any more."""
        self.fenced.append(source.identity)
        for record in self.reads.values():
            if record.source == source.identity and record.state is ReadState.PENDING:
                record.state = ReadState.FAILED

    def close(self) -> None:
        """Notes it."""
        self.closed = True

    def _post(self, record: HandRead) -> ReadId:
        self._last += 1
        self.reads[ReadId(self._last)] = record
        return ReadId(self._last)
