"""The reader's half of a transfer: ask, read what is published, verify, let the source go."""

from __future__ import annotations

from collections.abc import Callable

from engine.block_pool import BlockPool
from engine.owner import Owner
from kv_transfer.read_poster import ReadPoster
from kv_transfer.slot import Slot, SlotState
from kv_transfer.source_links import SourceLinks
from kv_transfer.transfer_end import Pull, TransferEnd
from kv_transfer.transport import ReadId, ReadState, Transport
from protocol.errors import BatonError, Stale, TransferFailed, TransferNeedless, WorkerLost
from protocol.ids import BlockHash, BlockId, TransferId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import EngineOutbox, Inbound, PeerId
from protocol.messages import Attach, Attached, Fetch, Published, Release, Renew, Withdrawn, WorkerAddress


class KvSink:
    """All slots of one worker. Destination blocks are private until verified, and never freed
    while a read is in flight."""

    def __init__(
        self,
        pool: BlockPool,
        transport: Transport,
        me: WorkerIdentity,
        fingerprint: str,
        block_bytes: int,
        limits: Limits,
        budget: Callable[[], int],
    ) -> None:
        """`budget`: bytes that may be in flight now, so that reads do not stall steps."""
        self._pool = pool
        self._transport = transport
        self._me = me
        self._fingerprint = fingerprint
        self._block_bytes = block_bytes
        self._limits = limits
        self._poster = ReadPoster(transport, block_bytes, limits, budget)
        self._links = SourceLinks()
        self._slots: dict[TransferId, Slot] = {}
        self._ends: list[TransferEnd] = []
        self._used: set[PeerId] = set()
        """Links over whose source a read has come: the first one also pays for the transport's connection."""
        self._renewed_at = 0.0
        self._counts = dict.fromkeys(
            (
                "transferred_blocks",
                "transferred_bytes",
                "transfers",
                "failed_transfers",
                "failed_verifications",
                "fenced_peers",
                "ignored_sink_frames",
            ),
            0,
        )

    def open(
        self,
        transfer: TransferId,
        address: WorkerAddress,
        blocks: tuple[BlockId, ...],
        first_block: int,
        now: float,
        cached: tuple[BlockHash, ...] = (),
    ) -> None:
        """Asks `address` for the blocks from index `first_block` on. `blocks` are held by
        Owner.dest(transfer); on failure they are given back here. `cached`: the hashes of the wanted
        blocks, if no request computes them there: then the source gives what it has."""
        peer = self._links.reach(address)
        deadline = now + self._limits.peer_deadline_s
        slot = Slot(transfer, address, peer, blocks, first_block, deadline, partial=bool(cached))
        self._slots[transfer] = slot
        if cached:
            self._links.send(peer, Fetch(transfer, self._me, self._fingerprint, first_block, cached))
        else:
            self._links.send(peer, Attach(transfer, self._me, self._fingerprint, first_block))

    def has(self, transfer: TransferId) -> bool:
        """Whether a transfer of this id is open, or its reads may still land: then the id is taken."""
        return transfer in self._slots

    def is_me(self, address: WorkerAddress) -> bool:
        """Whether this worker would read its own memory."""
        return address.identity == self._me

    def cancel(self, transfer: TransferId, now: float) -> None:
        """Nobody wants this transfer any more. Its blocks come back once nothing can land in them."""
        slot = self._slots.get(transfer)
        if slot is not None and slot.state is not SlotState.DRAIN:
            self._let_go(slot, now)

    def receive(self, mail: Inbound, now: float) -> None:
        """Verbs of a source; anything unexpected is counted and ignored."""
        match mail.frame:
            case Attached(transfer) | Published(transfer) | Withdrawn(transfer):
                slot = self._slots.get(transfer)
            case _:
                return
        if slot is None or slot.peer != mail.peer or slot.state not in (SlotState.HELLO, SlotState.READ):
            self._counts["ignored_sink_frames"] += 1
            return
        match mail.frame:
            case Attached():
                self._attached(slot, mail.frame, now)
            case Published():
                self._published(slot, mail.frame, now)
            case Withdrawn():
                self._withdrawn(slot, mail.frame, now)

    def peer_lost(self, peer: PeerId, now: float) -> None:
        """A source's link is gone. What it has published can still be read; more will not come."""
        self._links.lost(peer)
        self._used.discard(peer)
        for slot in [s for s in self._slots.values() if s.peer == peer]:
            if slot.state in (SlotState.HELLO, SlotState.READ) and not slot.complete:
                self._fail(slot, WorkerLost("the source of the KV went away"), now)

    def before_plan(self, now: float) -> None:
        """Moves every slot as far as it goes without waiting."""
        if not self._slots:
            return
        for slot in list(self._slots.values()):
            self._poll(slot, now)
        self._poster.post(self._slots.values(), now)
        for slot in self._slots.values():
            if slot.posted_at is None and slot.reads:
                slot.posted_at = now
        if now - self._renewed_at >= self._limits.renew_every_s:
            self._renewed_at = now
            self._renew()

    def take_ends(self) -> list[TransferEnd]:
        """Transfers that ended since the last call, by themselves. The blocks of a verified one are
        still held by Owner.dest(transfer)."""
        ends, self._ends = self._ends, []
        return ends

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call."""
        return self._links.take_outbox()

    def counters(self) -> tuple[tuple[str, int], ...]:
        """Monotonic counts."""
        return tuple(self._counts.items())

    def busy(self) -> bool:
        """Whether something is in flight that a poll would move."""
        return any(
            slot.reads or slot.wanted or slot.verification is not None for slot in self._slots.values()
        )

    def close(self) -> None:
        """Ends every transport agent; nothing lands afterwards."""
        self._transport.close()

    def _attached(self, slot: Slot, frame: Attached, now: float) -> None:
        if slot.state is not SlotState.HELLO:
            self._counts["ignored_sink_frames"] += 1
            return
        source = frame.source
        if source.identity != slot.address.identity or source.block_bytes != self._block_bytes:
            self._fail(slot, Stale("another incarnation, or another block layout, answered"), now)
            return
        slot.source = source
        slot.move(SlotState.READ)
        self._transport.connect(source)

    def _published(self, slot: Slot, frame: Published, now: float) -> None:
        if slot.source is None or slot.complete:
            self._counts["ignored_sink_frames"] += 1
        elif not slot.publish(frame):
            self._fail(slot, TransferFailed("the source published blocks that cannot be"), now)
        elif slot.complete and slot.next_block != len(slot.blocks) and not slot.partial:
            self._fail(slot, TransferFailed("the source ended before the last block"), now)

    def _withdrawn(self, slot: Slot, why: Withdrawn, now: float) -> None:
        kind = TransferNeedless if why.code == TransferNeedless.code else TransferFailed
        self._fail(slot, kind(f"the source withdrew the transfer: {why.message}"), now)

    def _poll(self, slot: Slot, now: float) -> None:
        failed = self._collect(slot)
        if slot.state is SlotState.DRAIN:
            self._drain(slot, now)
        elif failed:
            self._fail(slot, TransferFailed("a read of KV failed"), now)
        elif slot.state is SlotState.VERIFY:
            self._verify(slot, now)
        elif slot.state is SlotState.READ and slot.complete and not (slot.wanted or slot.reads):
            self._ask_generations(slot, now)
        elif self._late(slot, now):
            self._fail(slot, TransferFailed(f"the source did not answer in state {slot.state.value}"), now)

    def _collect(self, slot: Slot) -> bool:
        """Takes in the reads that have ended; whether one failed."""
        failed = False
        for read in list(slot.reads):
            state = self._transport.poll(read)
            if state is not ReadState.PENDING:
                self._transport.forget(read)
                del slot.reads[read]
                failed = failed or state is ReadState.FAILED
        return failed

    def _late(self, slot: Slot, now: float) -> bool:
        if slot.state is SlotState.HELLO:
            return slot.deadline <= now
        return slot.oldest_read_s(now) >= self._limits.read_deadline_s

    def _ask_generations(self, slot: Slot, now: float) -> None:
        slot.move(SlotState.VERIFY)
        slot.deadline = now + self._limits.read_deadline_s
        if slot.source is not None and slot.read:
            blocks = [wanted.remote for wanted in slot.read]
            slot.verification = self._transport.read_generations(slot.source, blocks)
        self._verify(slot, now)

    def _verify(self, slot: Slot, now: float) -> None:
        """Equal generations, read after the data, mean that no block had another owner meanwhile."""
        if slot.verification is None:
            self._accept(slot, now)
            return
        state = self._transport.poll(slot.verification)
        if state is ReadState.PENDING:
            if slot.deadline <= now:
                self._fail(slot, TransferFailed("the source did not answer the verification"), now)
            return
        found = self._transport.generations(slot.verification) if state is ReadState.DONE else ()
        self._forget_verification(slot)
        if found == tuple(wanted.generation for wanted in slot.read):
            self._accept(slot, now)
        else:
            self._counts["failed_verifications"] += int(state is ReadState.DONE)
            self._fail(slot, Stale("the source reused blocks while they were read"), now)

    def _accept(self, slot: Slot, now: float) -> None:
        slot.move(SlotState.READY)
        self._counts["transfers"] += 1
        self._counts["transferred_blocks"] += len(slot.read)
        self._counts["transferred_bytes"] += len(slot.read) * self._block_bytes
        self._links.send(slot.peer, Release(slot.transfer))
        pull = None
        if slot.posted_at is not None and slot.peer in self._used:
            pull = Pull(slot.address.identity, len(slot.read), now - slot.posted_at)
        if slot.read:
            self._used.add(slot.peer)
        self._ends.append(TransferEnd(slot.transfer, None, pull, slot.next_block))
        self._end(slot)

    def _fail(self, slot: Slot, error: BatonError, now: float) -> None:
        self._counts["failed_transfers"] += 1
        self._ends.append(TransferEnd(slot.transfer, error))
        self._let_go(slot, now)

    def _let_go(self, slot: Slot, now: float) -> None:
        """Stops a transfer. A read cannot be cancelled, so its blocks wait in quarantine."""
        self._links.send(slot.peer, Release(slot.transfer))
        slot.wanted.clear()
        if not slot.reads and slot.verification is None:
            self._pool.give_back(Owner.dest(slot.transfer))
            self._end(slot)
            return
        slot.move(SlotState.DRAIN)
        slot.deadline = now + self._limits.quarantine_s
        self._pool.rename(Owner.dest(slot.transfer), Owner.quarantine(slot.transfer))

    def _drain(self, slot: Slot, now: float) -> None:
        if slot.verification is not None and self._transport.poll(slot.verification) is not ReadState.PENDING:
            self._forget_verification(slot)
        if slot.reads or slot.verification is not None:
            if slot.deadline <= now and slot.source is not None:
                self._counts["fenced_peers"] += 1
                self._transport.close_peer(slot.source)
                slot.deadline = now + self._limits.quarantine_s
            return
        self._pool.give_back(Owner.quarantine(slot.transfer))
        self._end(slot)

    def _forget_verification(self, slot: Slot) -> None:
        read: ReadId | None = slot.verification
        slot.verification = None
        if read is not None:
            self._transport.forget(read)

    def _end(self, slot: Slot) -> None:
        slot.move(SlotState.ENDED)
        del self._slots[slot.transfer]

    def _renew(self) -> None:
        by_peer: dict[PeerId, list[TransferId]] = {}
        for slot in self._slots.values():
            if slot.state in (SlotState.READ, SlotState.VERIFY):
                by_peer.setdefault(slot.peer, []).append(slot.transfer)
        for peer, transfers in by_peer.items():
            self._links.send(peer, Renew(tuple(transfers)))
