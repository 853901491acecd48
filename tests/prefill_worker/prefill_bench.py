"""A PrefillRole with a small modelled engine; the test is its gateways, its readers and its sources."""

from __future__ import annotations

from engine.owner import Owner, OwnerKind
from engine.schedule import SchedulePolicy
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from prefill_worker.role import PrefillRole
from protocol.ids import AttemptKey, Incarnation, RequestId, TransferId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import Inbound, Outbound, PeerId
from protocol.messages import Attach, Fetch, Frame, Prefill, Prefix, Published, Release, Renew, SourceFacts
from protocol.request import Assignment
from tests.engine.modelled import POLICY, assignment, modelled_engine
from tests.kv_transfer.hand_transport import HandTransport

ME = WorkerIdentity(WorkerId("prefill-0"), Incarnation("p1"))
READER = WorkerIdentity(WorkerId("decode-0"), Incarnation("d1"))
OTHER_READER = WorkerIdentity(WorkerId("decode-1"), Incarnation("e1"))
GATEWAY, OTHER_GATEWAY, LINK, OTHER_LINK = PeerId(1), PeerId(2), PeerId(3), PeerId(4)
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
    stop_tokens: tuple[int, ...] = (),
    sent: tuple[int, ...] = (),
    attempt: int = 1,
    left_s: float = 60.0,
) -> Assignment:
    """What a gateway asks for."""
    told = assignment(name, prompt, max_tokens, stop_tokens=stop_tokens, sent=sent, attempt=attempt)
    return Assignment(told.request, attempt, sent, left_s)


class PrefillBench:
    """Steps take no time; `now` is the test's."""

    def __init__(self, blocks: int = 20, limits: Limits = LIMITS, policy: SchedulePolicy = POLICY) -> None:
        self.engine = modelled_engine(blocks, policy=policy)
        arena = self.engine.runner.arena
        facts = SourceFacts(ME, b"agent", arena.address, arena.block_bytes, blocks, arena.generations_address)
        self.source = KvSource(self.engine.pool, facts, "model", limits)
        self.transport = HandTransport(arena)
        self.sink = KvSink(
            self.engine.pool,
            self.transport,
            ME,
            "model",
            arena.block_bytes,
            limits,
            lambda: limits.post_bytes,
        )
        self.role = PrefillRole(self.engine, self.source, self.sink, limits)
        self.facts = facts

    def hear(self, frame: Frame, peer: PeerId = GATEWAY, now: float = 0.0) -> None:
        """A frame of a gateway or of a reader."""
        self.role.receive(Inbound(peer, frame), now)

    def prefill(
        self,
        told: Assignment,
        name: str = "t",
        peer: PeerId = GATEWAY,
        now: float = 0.0,
        prefix: Prefix | None = None,
    ) -> None:
        """A gateway's question."""
        self.hear(Prefill(told, transfer(name), prefix), peer, now)

    def attach(
        self,
        name: str = "t",
        peer: PeerId = LINK,
        reader: WorkerIdentity = READER,
        first: int = 0,
        now: float = 0.0,
        model: str = "model",
    ) -> None:
        """A reader's question."""
        self.hear(Attach(transfer(name), reader, model, first), peer, now)

    def fetch(
        self,
        name: str = "f",
        prompt: tuple[int, ...] = PROMPT,
        peer: PeerId = LINK,
        reader: WorkerIdentity = READER,
        first: int = 0,
        now: float = 0.0,
        model: str = "model",
    ) -> None:
        """A reader asks for what is cached of a prompt."""
        hashes = tuple(self.engine.sequence(job("hashes", prompt), 1).hashes[first:])
        self.hear(Fetch(transfer(name), reader, model, first, hashes), peer, now)

    def release(self, name: str = "t", peer: PeerId = LINK, now: float = 0.0) -> None:
        """A reader is done."""
        self.hear(Release(transfer(name)), peer, now)

    def renew(self, *names: str, peer: PeerId = LINK, now: float = 0.0) -> None:
        """A reader still wants these."""
        self.hear(Renew(tuple(transfer(name) for name in names)), peer, now)

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

    def sent(self, peer: PeerId) -> list[Frame]:
        """Frames for one peer since the last call; those for others are lost."""
        mail = [one for one in self.role.take_outbox() if isinstance(one, Outbound)]
        return [one.frame for one in mail if one.peer == peer]

    def published(self, peer: PeerId = LINK) -> list[Published]:
        """What a reader was told of blocks since the last call."""
        return [frame for frame in self.sent(peer) if isinstance(frame, Published)]

    def pinned(self, name: str = "t") -> int:
        """Blocks that a lease holds."""
        return len(self.engine.pool.held_by(Owner.pinned(transfer(name))))

    def held(self) -> int:
        """Blocks that anybody holds."""
        self.engine.check()
        return self.engine.pool.held(*OwnerKind)

    def count(self, name: str) -> int:
        """One of the counters."""
        return dict(self.role.counters())[name]
