"""The shipped fake of Transport: reads inside one process that land late and blind to the owner."""

from __future__ import annotations

from collections.abc import Sequence

from engine.arena import Arena
from kv_transfer.bounds import check_blocks, check_pairs, mismatch
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.memory_read import MemoryGenerationRead, MemoryRead
from kv_transfer.read_fate import ReadFate
from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.errors import TransferFailed
from protocol.ids import WorkerIdentity
from protocol.messages import SourceFacts


class MemoryTransport:
    """Transport over a MemoryFabric. Creating it joins the fabric; closing it is the process's death.

    Blocks land one by one on the event loop's timers, whether or not anybody polls. A read that
    nobody wants any more still lands: only close_peer, close, or the end of either process stops it.
    """

    def __init__(self, identity: WorkerIdentity, arena: Arena, fabric: MemoryFabric) -> None:
        self._identity = identity
        self._arena = arena
        self._fabric = fabric
        self._ready_at: dict[WorkerIdentity, float] = {}
        self._reads: dict[ReadId, MemoryRead] = {}
        self._last_id = 0
        self._closed = False
        fabric.join(identity, arena)

    def local_agent(self) -> bytes:
        """The name under which the fabric knows this arena."""
        return _agent_name(self._identity)

    def connect(self, source: SourceFacts) -> None:
        """Reads of this source begin after the fabric's connect_s. Raises TransferFailed once closed."""
        self._check_open()
        self._ready_at.setdefault(source.identity, self._fabric.now() + self._fabric.connect_s)

    def read_blocks(self, source: SourceFacts, pairs: Sequence[BlockPair]) -> ReadId:
        """Posts a read; it fails if the peer is not connected. Raises TransferFailed for blocks out
        of range, and once closed."""
        self._check_open()
        check_pairs(source, self._arena, pairs)
        return self._post(
            source, MemoryRead(source.identity, self._fate(source, len(pairs)), self._arena, tuple(pairs))
        )

    def read_generations(self, source: SourceFacts, blocks: Sequence[int]) -> ReadId:
        """Posts a read of generation numbers; they are those of the moment of landing."""
        self._check_open()
        check_blocks(source, blocks)
        fate = self._fate(source, 1)
        return self._post(
            source, MemoryGenerationRead(source.identity, fate, self._arena, (), blocks=tuple(blocks))
        )

    def poll(self, read: ReadId) -> ReadState:
        """State of a read. Raises TransferFailed for one that is not known."""
        return self._known(read).state

    def generations(self, read: ReadId) -> tuple[int, ...]:
        """The numbers of a DONE read_generations. Raises TransferFailed for any other read."""
        record = self._known(read)
        if record.state is not ReadState.DONE or not isinstance(record, MemoryGenerationRead):
            raise TransferFailed("this read has brought no generation numbers")
        return record.numbers

    def forget(self, read: ReadId) -> None:
        """Drops a terminal read. Raises TransferFailed for a pending one: it cannot be cancelled."""
        if self._known(read).state is ReadState.PENDING:
            raise TransferFailed("a pending read cannot be forgotten")
        del self._reads[read]

    def close_peer(self, source: SourceFacts) -> None:
        """Nothing of this peer lands any more; its pending reads are FAILED."""
        self._ready_at.pop(source.identity, None)
        for read in self._reads.values():
            if read.source == source.identity:
                read.fail()

    def close(self) -> None:
        """Nothing lands any more, and others can no longer read this arena."""
        self._closed = True
        self._ready_at.clear()
        for read in self._reads.values():
            read.fail()
        self._fabric.leave(self._identity)

    def _fate(self, source: SourceFacts, blocks: int) -> ReadFate:
        return self._fabric.fate(source.identity, self._identity, blocks)

    def _post(self, source: SourceFacts, read: MemoryRead) -> ReadId:
        self._last_id += 1
        self._reads[ReadId(self._last_id)] = read
        if not read.parts:
            read.state = ReadState.DONE
        elif not self._fits(source):
            read.fail()
        else:
            connected_in = max(0.0, self._ready_at[source.identity] - self._fabric.now())
            self._land_in(connected_in + read.fate.wait_before(0), read)
        return ReadId(self._last_id)

    def _land_in(self, seconds: float, read: MemoryRead) -> None:
        self._fabric.after(seconds, read.source, lambda: self._land(read))

    def _land(self, read: MemoryRead) -> None:
        """One block lands, or the read breaks there."""
        if read.state is not ReadState.PENDING:
            return
        remote = self._fabric.arena(read.source)
        if remote is None or read.landed == read.fate.fail_at:
            read.spoil()
            self._fabric.after(self._fabric.detect_s, read.source, read.fail)
            return
        read.land(remote)
        read.landed += 1
        if read.landed == read.parts:
            read.state = ReadState.DONE
        else:
            self._land_in(read.fate.wait_before(read.landed), read)

    def _fits(self, source: SourceFacts) -> bool:
        """Whether a read may start; that the source is gone shows later, as in life."""
        if source.identity not in self._ready_at:
            return False
        if mismatch(source, self._arena) or source.agent != _agent_name(source.identity):
            return False
        remote = self._fabric.arena(source.identity)
        return remote is None or remote.num_blocks == source.num_blocks

    def _known(self, read: ReadId) -> MemoryRead:
        record = self._reads.get(read)
        if record is None:
            raise TransferFailed(f"no read {read} is known")
        return record

    def _check_open(self) -> None:
        if self._closed:
            raise TransferFailed("the transport is closed")


def _agent_name(identity: WorkerIdentity) -> bytes:
    return f"memory:{identity.worker}/{identity.incarnation}".encode()
