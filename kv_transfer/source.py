"""The source's half of a transfer: publish blocks, hold them under a lease, let go."""

from __future__ import annotations

from engine.block_pool import BlockPool
from engine.owner import Owner, OwnerKind
from engine.sequence import Sequence
from kv_transfer.lease import Lease, LeaseState
from protocol.errors import BatonError, Stale, TransferFailed
from protocol.ids import AttemptKey, BlockId, TransferId
from protocol.limits import Limits
from protocol.mail import EngineOutbox, Inbound, Outbound, PeerId
from protocol.messages import Attach, Attached, Fetch, Published, Release, Renew, SourceFacts, Withdrawn

MAX_AWAITED = 4096
"""Transfers that readers may announce before their request comes."""


class KvSource:
    """All leases of one worker. A lost message only costs time: the lease lapses."""

    def __init__(self, pool: BlockPool, facts: SourceFacts, fingerprint: str, limits: Limits) -> None:
        self._pool = pool
        self._facts = facts
        self._fingerprint = fingerprint
        self._limits = limits
        self._leases: dict[TransferId, Lease] = {}
        self._by_key: dict[AttemptKey, TransferId] = {}
        self._outbox: list[EngineOutbox] = []
        self._published_blocks = 0
        self._expired = 0
        self._ignored = 0

    def user(self, transfer: TransferId) -> AttemptKey | None:
        """The attempt whose KV is read under `transfer`, if there is one."""
        lease = self._leases.get(transfer)
        return None if lease is None or lease.sequence is None else lease.sequence.key

    def is_free(self, transfer: TransferId) -> bool:
        """Whether a request may begin under this id."""
        lease = self._leases.get(transfer)
        return lease is None or lease.state is LeaseState.AWAITED

    def open(self, transfer: TransferId, sequence: Sequence, now: float) -> None:
        """A request begins whose KV will be read under `transfer`, an id that is free."""
        lease = self._leases.get(transfer)
        if lease is None:
            lease = Lease(transfer, LeaseState.AWAITED, now)
            self._leases[transfer] = lease
        if not self.is_free(transfer):
            self._ignored += 1
            return
        lease.move(LeaseState.COMPUTING)
        lease.sequence = sequence
        self._by_key[sequence.key] = transfer

    def advance(self, sequence: Sequence) -> None:
        """After a step: publishes the blocks that became full. Their KV is in memory."""
        self._publish(sequence, sequence.computed // sequence.block_size)

    def finish(self, sequence: Sequence, now: float) -> None:
        """The prompt is computed: publishes the rest and pins it for the reader's lease."""
        lease = self._lease_of(sequence.key)
        if lease is None:
            return
        lease.complete = True
        self._publish(sequence, len(sequence.blocks))
        self._pool.rename(Owner.request(sequence.key), Owner.pinned(lease.transfer))
        lease.move(LeaseState.PINNED)
        lease.deadline = now + self._limits.lease_s

    def withdraw(self, key: AttemptKey, error: BatonError) -> None:
        """The request ended without anything to read. A pinned lease stays: its reader may be reading."""
        lease = self._lease_of(key)
        if lease is None or lease.state is LeaseState.PINNED:
            return
        if lease.reader is not None:
            self._send(lease.reader, Withdrawn(lease.transfer, error.code, error.message))
        self._end(lease)

    def receive(self, mail: Inbound, now: float) -> None:
        """Verbs of a reader; anything unexpected is counted and ignored."""
        match mail.frame:
            case Attach():
                self._attach(mail.frame, mail.peer, now)
            case Renew(transfers):
                for transfer in transfers:
                    self._renew(transfer, mail.peer, now)
            case Release(transfer):
                self._release(transfer, mail.peer)
            case _:
                return

    def fetch(self, frame: Fetch, peer: PeerId, now: float, room: int) -> None:
        """A reader asks for what is cached: the longest run of it is pinned, at most `room` blocks. Asked
        again it answers again."""
        lease = self._leases.get(frame.transfer)
        refusal = self._refusal(frame, lease)
        if refusal is not None:
            self._send(peer, Withdrawn(frame.transfer, refusal.code, refusal.message))
            return
        if lease is None:
            lease = self._pin(frame, now, room)
        lease.reader = peer
        lease.deadline = now + self._limits.lease_s
        self._send(peer, Attached(frame.transfer, self._facts, self._limits.lease_s))
        blocks = self._pool.held_by(Owner.pinned(frame.transfer))
        generations = tuple(map(self._pool.generation, blocks))
        self._send(peer, Published(frame.transfer, lease.first_block, blocks, generations, last=True))

    def peer_lost(self, peer: PeerId) -> None:
        """The reader's link is gone; it may still be reading, so its leases run on until they lapse."""
        for lease in self._leases.values():
            if lease.reader == peer:
                lease.reader = None

    def before_plan(self, now: float) -> None:
        """Ends what has lapsed."""
        lapsing = (LeaseState.AWAITED, LeaseState.PINNED)
        for lease in [x for x in self._leases.values() if x.state in lapsing and x.deadline <= now]:
            self._expired += 1
            if lease.reader is not None:
                self._send(lease.reader, Withdrawn(lease.transfer, Stale.code, "the lease lapsed"))
            self._end(lease)

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call."""
        mail, self._outbox = self._outbox, []
        return mail

    def counters(self) -> tuple[tuple[str, int], ...]:
        """Monotonic counts."""
        return (
            ("published_blocks", self._published_blocks),
            ("expired_leases", self._expired),
            ("ignored_source_frames", self._ignored),
        )

    def _pin(self, frame: Fetch, now: float, room: int) -> Lease:
        """A lease on what may be pinned of what is cached."""
        share = int(self._limits.max_pinned_share * self._pool.total) - self._pool.held(OwnerKind.PINNED)
        found = self._pool.match(frame.hashes)[: max(0, min(room, share))]
        self._pool.take(Owner.pinned(frame.transfer), found, 0)
        self._published_blocks += len(found)
        lease = Lease(frame.transfer, LeaseState.PINNED, now)
        lease.reader_identity = frame.reader
        lease.first_block = frame.first_block
        self._leases[frame.transfer] = lease
        return lease

    def _refusal(self, frame: Attach | Fetch, lease: Lease | None) -> BatonError | None:
        if frame.fingerprint != self._fingerprint:
            return TransferFailed("the two engines do not agree on model, dtype, layout or block size")
        if lease is None:
            full = len(self._leases) >= MAX_AWAITED
            return TransferFailed("too many open transfers") if full else None
        if lease.reader_identity not in (None, frame.reader):
            self._ignored += 1
            return TransferFailed("another reader has attached")
        if lease.is_fetch != isinstance(frame, Fetch):
            self._ignored += 1
            return TransferFailed("the id of the transfer is taken")
        return None

    def _attach(self, frame: Attach, peer: PeerId, now: float) -> None:
        lease = self._leases.get(frame.transfer)
        refusal = self._refusal(frame, lease)
        if refusal is not None:
            self._send(peer, Withdrawn(frame.transfer, refusal.code, refusal.message))
            return
        if lease is None:
            lease = Lease(frame.transfer, LeaseState.AWAITED, now + self._limits.max_place_wait_s)
            self._leases[frame.transfer] = lease
        lease.reader = peer
        lease.reader_identity = frame.reader
        lease.first_block = frame.first_block
        if lease.state is LeaseState.PINNED:
            lease.deadline = now + self._limits.lease_s
        self._send(peer, Attached(frame.transfer, self._facts, self._limits.lease_s))
        self._announce(lease, 0)

    def _renew(self, transfer: TransferId, peer: PeerId, now: float) -> None:
        lease = self._leases.get(transfer)
        if lease is None or lease.reader != peer:
            self._ignored += 1
            return
        lease.deadline = max(lease.deadline, now + self._limits.lease_s)

    def _release(self, transfer: TransferId, peer: PeerId) -> None:
        lease = self._leases.get(transfer)
        if lease is None or lease.reader != peer:
            self._ignored += 1
            return
        self._end(lease)

    def _publish(self, sequence: Sequence, count: int) -> None:
        lease = self._lease_of(sequence.key)
        if lease is None:
            return
        start = len(lease.published)
        fresh = [
            (block, self._pool.generation(block)) for block in map(BlockId, sequence.blocks[start:count])
        ]
        lease.published.extend(fresh)
        self._published_blocks += len(fresh)
        if fresh or lease.complete:
            self._announce(lease, start)

    def _announce(self, lease: Lease, start: int) -> None:
        """Tells the reader of everything published from index `start` on that it wants."""
        begin = max(start, lease.first_block)
        wanted = lease.published[begin:]
        if lease.reader is None or not (wanted or lease.complete):
            return
        blocks: tuple[BlockId, ...] = tuple(block for block, _ in wanted)
        generations = tuple(generation for _, generation in wanted)
        frame = Published(lease.transfer, begin, blocks, generations, lease.complete)
        self._send(lease.reader, frame)

    def _end(self, lease: Lease) -> None:
        lease.move(LeaseState.RELEASED)
        self._pool.give_back(Owner.pinned(lease.transfer))
        del self._leases[lease.transfer]
        if lease.sequence is not None and self._by_key.get(lease.sequence.key) == lease.transfer:
            del self._by_key[lease.sequence.key]

    def _lease_of(self, key: AttemptKey) -> Lease | None:
        transfer = self._by_key.get(key)
        return None if transfer is None else self._leases.get(transfer)

    def _send(self, peer: PeerId, frame: Attached | Published | Withdrawn) -> None:
        self._outbox.append(Outbound(peer, frame))
