"""A DecodeRole with a small modelled engine and an honest source; the test is its gateways."""

from __future__ import annotations

from decode_worker.role import DecodeRole
from engine.owner import Owner, OwnerKind
from engine.schedule import SchedulePolicy
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from protocol.ids import AttemptKey, BlockId, Incarnation, RequestId, TransferId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import Dial, Inbound, Outbound, PeerId
from protocol.messages import (
    Attached,
    Cancel,
    Compute,
    Failed,
    Fetch,
    Frame,
    Join,
    Prefix,
    Published,
    Reserve,
    SourceFacts,
    StepReport,
    TokenDelta,
    WorkerAddress,
)
from protocol.request import Assignment
from tests.engine.drive import write_cells
from tests.engine.modelled import POLICY, answer, assignment, modelled_engine
from tests.kv_transfer.hand_transport import HandTransport

ME = WorkerIdentity(WorkerId("decode-0"), Incarnation("d1"))
SOURCE = WorkerIdentity(WorkerId("prefill-0"), Incarnation("p1"))
GATEWAY, OTHER_GATEWAY, READER_LINK = PeerId(1), PeerId(2), PeerId(5)
LIMITS = Limits()
PROMPT = tuple(range(10))
"""Two full blocks of four tokens, and a part of a third."""


def transfer(name: str) -> TransferId:
    """An id."""
    return TransferId(name)


def key(name: str = "r", attempt: int = 1) -> AttemptKey:
    """Of a first attempt, unless said otherwise."""
    return AttemptKey(RequestId(name), attempt)


def job(
    name: str = "r",
    prompt: tuple[int, ...] = PROMPT,
    max_tokens: int = 5,
    *,
    sent: tuple[int, ...] = (),
    attempt: int = 1,
    left_s: float = 60.0,
) -> Assignment:
    """What a gateway asks for."""
    told = assignment(name, prompt, max_tokens, sent=sent, attempt=attempt)
    return Assignment(told.request, attempt, sent, left_s)


def next_token(told: Assignment) -> int:
    """What a prefill worker would have sampled."""
    return answer(told.request)[len(told.sent)]


class DecodeBench:
    """Steps take no time; `now` is the test's. Blocks have four tokens."""

    def __init__(self, blocks: int = 20, policy: SchedulePolicy = POLICY, limits: Limits = LIMITS) -> None:
        self.engine = modelled_engine(blocks, policy=policy)
        self.remote = modelled_engine(400)
        arena = self.engine.runner.arena
        self.transport = HandTransport(arena)
        self.transport.remotes = {SOURCE: self.remote.runner.arena}
        self.sink = KvSink(
            self.engine.pool,
            self.transport,
            ME,
            "model",
            arena.block_bytes,
            limits,
            lambda: limits.post_bytes,
        )
        self.facts = SourceFacts(
            ME, b"agent", arena.address, arena.block_bytes, blocks, arena.generations_address
        )
        self.source = KvSource(self.engine.pool, self.facts, "model", limits)
        self.role = DecodeRole(self.engine, self.sink, self.source, limits)
        self.link = PeerId(-1)
        self.tokens: dict[AttemptKey, list[int]] = {}
        """Tokens that came, by attempt."""
        self.finished: set[AttemptKey] = set()
        self.failures: list[str] = []
        """Codes with which attempts failed."""

    def hear(self, frame: Frame, peer: PeerId = GATEWAY, now: float = 0.0) -> None:
        """A frame of a gateway or a source."""
        self.role.receive(Inbound(peer, frame), now)

    def reserve(self, told: Assignment, name: str = "t", peer: PeerId = GATEWAY, now: float = 0.0) -> None:
        """A gateway asks for a slot."""
        self.hear(Reserve(told, transfer(name), WorkerAddress(SOURCE, "127.0.0.1", 1)), peer, now)

    def compute(
        self, told: Assignment, peer: PeerId = GATEWAY, now: float = 0.0, prefix: Prefix | None = None
    ) -> None:
        """A gateway asks for everything."""
        self.hear(Compute(told, prefix), peer, now)

    def join(self, told: Assignment, peer: PeerId = GATEWAY, now: float = 0.0) -> None:
        """The first token has come from the prefill worker."""
        self.hear(Join(told.key, next_token(told)), peer, now)

    def cancel(self, told: Assignment, peer: PeerId = GATEWAY, now: float = 0.0) -> None:
        """Nobody wants it any more."""
        self.hear(Cancel(told.key), peer, now)

    def serve(self, told: Assignment, name: str = "t", now: float = 0.0) -> tuple[BlockId, ...]:
        """The source computes the prompt and publishes all of it."""
        return self.publish(list(told.tokens), name, now)

    def publish(self, tokens: list[int], name: str, now: float) -> tuple[BlockId, ...]:
        """The source publishes the KV of these tokens."""
        arena = self.remote.runner.arena
        facts = SourceFacts(SOURCE, b"agent", 4096, arena.block_bytes, arena.num_blocks, 8192)
        owner = Owner.pinned(transfer(name))
        count = -(-len(tokens) // self.remote.block_size)
        blocks = tuple(self.remote.pool.take(owner, (), count))
        write_cells(self.remote, tokens, blocks)
        generations = tuple(self.remote.pool.generation(block) for block in blocks)
        self.hear(Attached(transfer(name), facts, 10.0), self.link, now)
        self.hear(Published(transfer(name), 0, blocks, generations, True), self.link, now)
        self.remote.pool.give_back(owner)
        return blocks

    def fetch(
        self, name: str, prompt: tuple[int, ...], first: int = 0, peer: PeerId = READER_LINK, now: float = 0.0
    ) -> None:
        """A reader asks for what is cached of a prompt."""
        hashes = tuple(self.engine.sequence(job("hashes", prompt), 1).hashes[first:])
        self.hear(Fetch(transfer(name), SOURCE, "model", first, hashes), peer, now)

    def serve_prefix(self, name: str, blocks: int, now: float = 0.0) -> None:
        """The source has so many blocks of a prompt whose prefix is being fetched, or all."""
        fetch = self.role._fetches._open.get(transfer(name))
        slot = self.sink._slots.get(transfer(name))
        if fetch is not None and slot is not None and slot.partial:
            tokens = fetch.sequence.tokens[: min(blocks, len(slot.blocks)) * self.remote.block_size]
            self.publish(tokens, name, now)

    def arrive(self, told: Assignment, name: str = "t", now: float = 0.0) -> None:
        """All KV comes and is verified."""
        self.serve(told, name, now)
        for _ in range(20):  # posts of a long prompt follow one another
            self.role.before_plan(now)
            self.transport.land_all()

    def turn(self, now: float = 0.0) -> bool:
        """One round of the step loop; false if there was nothing to compute."""
        self.role.before_plan(now)
        step = self.engine.plan()
        if step is not None:
            progress = self.engine.commit(step, self.engine.runner.launch(step).result())
            self.role.after_commit(progress, now, now)
            self.engine.release_ended()
        self.engine.check()
        return step is not None

    def sent(self, peer: PeerId = GATEWAY) -> list[Frame]:
        """Frames for one peer since the last call; tokens and failures are noted for all."""
        frames: list[Frame] = []
        for mail in self.role.take_outbox():
            if isinstance(mail, Dial):
                self.link = mail.peer
            if isinstance(mail, Outbound) and isinstance(mail.frame, Failed):
                self.failures.append(mail.frame.code)
            if isinstance(mail, Outbound) and isinstance(mail.frame, StepReport):
                for delta in mail.frame.deltas:
                    self._note(delta)
            if isinstance(mail, Outbound) and mail.peer == peer:
                frames.append(mail.frame)
        return frames

    def deltas(self, peer: PeerId = GATEWAY) -> list[TokenDelta]:
        """Tokens for one gateway since the last call."""
        return [delta for frame in self.sent(peer) if isinstance(frame, StepReport) for delta in frame.deltas]

    def held(self) -> dict[str, int]:
        """Blocks that somebody holds, by kind; checks that all add up, and that nothing can land in
        a block that was given back."""
        self.engine.check()
        pool = self.engine.pool
        guarded = {
            block
            for kind in (OwnerKind.DEST, OwnerKind.QUARANTINE)
            for owner in pool.owners(kind)
            for block in pool.held_by(owner)
        }
        assert self.transport.targets() <= guarded
        counts = pool.counts()
        kinds = (OwnerKind.REQUEST, OwnerKind.PINNED, OwnerKind.DEST, OwnerKind.QUARANTINE)
        return {kind.value: counts[kind] for kind in kinds if counts[kind]}

    def _note(self, delta: TokenDelta) -> None:
        tokens = self.tokens.setdefault(delta.key, [])
        tokens += delta.tokens
        if delta.finish is not None:
            self.finished.add(delta.key)
