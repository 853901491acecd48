"""A KvSink alone, with a source that says what the test wants and reads that land by hand."""

from __future__ import annotations

from engine.block_pool import BlockPool
from engine.owner import Owner, OwnerKind
from kv_transfer.sink import KvSink
from kv_transfer.transfer_end import TransferEnd
from protocol.ids import BlockId, Incarnation, TransferId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import Dial, Inbound, Outbound, PeerId
from protocol.messages import Attached, Frame, Published, SourceFacts, Withdrawn, WorkerAddress
from tests.kv_transfer.hand_transport import HandTransport
from tests.kv_transfer.transport_scene import fresh_arena, source_arena

SIZE = 64
BLOCKS = 24
LINK = PeerId(-1)
READER = WorkerIdentity(WorkerId("decode-0"), Incarnation("d1"))
SOURCE = WorkerIdentity(WorkerId("prefill-0"), Incarnation("p1"))
OTHER_SOURCE = WorkerIdentity(WorkerId("prefill-1"), Incarnation("q1"))
LIMITS = Limits(post_bytes=2 * SIZE)
"""Two blocks a post."""


def address(identity: WorkerIdentity) -> WorkerAddress:
    """Where a source listens."""
    return WorkerAddress(identity, "127.0.0.1", 1)


def transfer(name: str) -> TransferId:
    """An id."""
    return TransferId(name)


class SinkBench:
    """Block b of a source is at generation 5 b + 1, as in the transports' own tests."""

    def __init__(self, limits: Limits = LIMITS, budget: int = 1 << 20) -> None:
        self.arena = fresh_arena(BLOCKS, SIZE)
        self.pool = BlockPool(self.arena.generations)
        self.transport = HandTransport(self.arena)
        self.remote = source_arena(BLOCKS, SIZE)
        self.transport.remotes = {SOURCE: self.remote, OTHER_SOURCE: source_arena(BLOCKS, SIZE)}
        self.sink = KvSink(self.pool, self.transport, READER, "model", SIZE, limits, lambda: budget)
        self.limits = limits

    def facts(self, identity: WorkerIdentity = SOURCE, block_bytes: int = SIZE) -> SourceFacts:
        """What a source says of its memory."""
        return SourceFacts(identity, b"agent", 4096, block_bytes, BLOCKS, 8192)

    def open(
        self, name: str = "t", blocks: int = 4, first: int = 0, now: float = 0.0, at: WorkerIdentity = SOURCE
    ) -> tuple[BlockId, ...]:
        """Takes destination blocks and asks the source."""
        held = tuple(self.pool.take(Owner.dest(transfer(name)), (), blocks))
        self.sink.open(transfer(name), address(at), held, first, now)
        return held

    def hear(self, frame: Frame, now: float = 0.0, peer: PeerId = LINK) -> None:
        """A frame of the source."""
        self.sink.receive(Inbound(peer, frame), now)

    def attach(
        self, name: str = "t", peer: PeerId = LINK, at: WorkerIdentity = SOURCE, now: float = 0.0
    ) -> None:
        """The source knows the transfer."""
        self.hear(Attached(transfer(name), self.facts(at), 10.0), now, peer)

    def publish(
        self,
        *blocks: int,
        first: int = 0,
        last: bool = False,
        name: str = "t",
        now: float = 0.0,
        peer: PeerId = LINK,
    ) -> None:
        """Blocks of the source, at the generations that they have."""
        generations = tuple(int(self.remote.generations[block % BLOCKS]) for block in blocks)
        self.hear(Published(transfer(name), first, blocks, generations, last), now, peer)

    def withdraw(self, name: str = "t", now: float = 0.0) -> None:
        """The source serves it no longer."""
        self.hear(Withdrawn(transfer(name), "transfer_failed", "no more"), now)

    def reading(self, name: str = "t", blocks: int = 4, now: float = 0.0) -> tuple[BlockId, ...]:
        """A transfer with all its reads in flight."""
        held = self.open(name, blocks, now=now)
        self.attach(name, now=now)
        self.publish(*range(10, 10 + blocks), last=True, name=name, now=now)
        self.sink.before_plan(now)
        return held

    def sent(self) -> list[Frame]:
        """Frames for sources since the last call."""
        return [mail.frame for mail in self.sink.take_outbox() if isinstance(mail, Outbound)]

    def dials(self) -> list[Dial]:
        """Links asked for since the last call."""
        return [mail for mail in self.sink.take_outbox() if isinstance(mail, Dial)]

    def end(self) -> TransferEnd:
        """The one transfer that has ended since the last call."""
        (end,) = self.sink.take_ends()
        return end

    def error(self) -> str:
        """The code of the error with which the one transfer ended."""
        end = self.end()
        assert end.error is not None
        return end.error.code

    def count(self, name: str) -> int:
        """One of the counters."""
        return dict(self.sink.counters())[name]

    def held(self) -> dict[str, int]:
        """Blocks that somebody holds, by kind; checks that all add up, and that nothing can land in
        a block that was given back."""
        self.pool.check()
        guarded = {
            block
            for kind in (OwnerKind.DEST, OwnerKind.QUARANTINE)
            for owner in self.pool.owners(kind)
            for block in self.pool.held_by(owner)
        }
        assert self.transport.targets() <= guarded
        counts = self.pool.counts()
        kinds = (OwnerKind.DEST, OwnerKind.QUARANTINE)
        return {kind.value: counts[kind] for kind in kinds if counts[kind]}
