"""Two workers, one of which may pull the start of a prompt from the other; the test is their gateway."""

from __future__ import annotations

from engine.owner import Owner, OwnerKind
from protocol.ids import AttemptKey, WorkerIdentity
from protocol.mail import Dial, EngineOutbox, Inbound, Outbound, PeerId
from protocol.messages import Failed, Fetch, Frame, Prefix, StepReport, TokenDelta, WorkerAddress
from protocol.request import Assignment
from tests.decode_worker.decode_bench import ME as DECODER
from tests.decode_worker.decode_bench import DecodeBench
from tests.engine.modelled import answer, assignment
from tests.prefill_worker.prefill_bench import ME as PREFILLER
from tests.prefill_worker.prefill_bench import PrefillBench, transfer

GATEWAY, READER_LINK = PeerId(1), PeerId(7)
FIRST = tuple(range(10))
"""A first prompt: two full blocks of four tokens, and a part of a third."""


def job(name: str, prompt: tuple[int, ...], max_tokens: int, left_s: float = 60.0) -> Assignment:
    """What a gateway asks for."""
    told = assignment(name, prompt, max_tokens, attempt=1)
    return Assignment(told.request, 1, (), left_s)


def second_turn(first: Assignment) -> tuple[int, ...]:
    """What the client sends next: everything so far, and something new."""
    return (*first.request.prompt, *answer(first.request), 7, 7, 7, 7, 7)


class PrefixScene:
    """`reader` pulls from `source`; one of them decodes, the other computes prompts for others."""

    def __init__(self, decoder_reads: bool = False, blocks: int = 40, reader_blocks: int = 40) -> None:
        self.reader: PrefillBench | DecodeBench
        self.source: PrefillBench | DecodeBench
        if decoder_reads:
            self.reader, self.source = DecodeBench(reader_blocks), PrefillBench(blocks)
        else:
            self.reader, self.source = PrefillBench(reader_blocks), DecodeBench(blocks)
        self.who = PREFILLER if decoder_reads else DECODER
        self.me: WorkerIdentity = DECODER if decoder_reads else PREFILLER
        self.reader.transport.remotes = {self.who: self.source.engine.runner.arena}
        self.cut = False
        """Frames between the two are lost."""
        self.fetches: list[Fetch] = []
        self.said: list[Frame] = []
        """What the reader told the gateway."""
        self._link = PeerId(-1)

    def cache(self, told: Assignment) -> None:
        """The source answers a request, and keeps its KV."""
        if isinstance(self.source, DecodeBench):
            self.source.compute(told)
        else:
            self.source.prefill(told, "earlier")
        while self.source.turn():
            pass
        self.source.engine.pool.give_back(self._earlier())
        self.source.role.take_outbox()

    def know(self, told: Assignment) -> None:
        """The reader has computed a prompt itself."""
        assert isinstance(self.reader, PrefillBench)
        self.reader.prefill(told, str(told.request.id))
        while self.reader.turn():
            pass
        self.reader.role.take_outbox()

    def ask(self, told: Assignment, blocks: int = 100, now: float = 0.0, name: str = "p") -> None:
        """The gateway believes that the source holds so many blocks of this prompt."""
        prefix = Prefix(transfer(name), WorkerAddress(self.who, "127.0.0.1", 1), blocks)
        if isinstance(self.reader, DecodeBench):
            self.reader.compute(told, GATEWAY, now, prefix)
        else:
            self.reader.prefill(told, f"{name}-out", GATEWAY, now, prefix)

    def carry(self, now: float = 0.0) -> None:
        """Frames go to and fro until nobody has anything to say."""
        while mail := self.reader.role.take_outbox() + self.source.role.take_outbox():
            for one in mail:
                self._carry(one, now)

    def pull(self, now: float = 0.0) -> None:
        """All that can be read is read; no step is made."""
        for _ in range(20):
            self.carry(now)
            self.reader.role.before_plan(now)
            self.reader.transport.land_all()
        self.carry(now)

    def work(self, now: float = 0.0) -> None:
        """The reader computes until there is nothing to do."""
        while self.reader.turn(now):
            pass
        self.carry(now)

    def deltas(self, key: AttemptKey) -> list[TokenDelta]:
        """What the gateway was told of one attempt."""
        reports = [frame for frame in self.said if isinstance(frame, StepReport)]
        return [delta for report in reports for delta in report.deltas if delta.key == key]

    def tokens(self, key: AttemptKey) -> tuple[int, ...]:
        """The tokens that came."""
        return tuple(token for delta in self.deltas(key) for token in delta.tokens)

    def failures(self) -> list[str]:
        """Codes of attempts that failed."""
        return [frame.code for frame in self.said if isinstance(frame, Failed)]

    def held(self) -> dict[str, int]:
        """What transfers hold anywhere; checks that all blocks add up."""
        found: dict[str, int] = {}
        for side in (self.reader, self.source):
            side.engine.check()
            for kind in (OwnerKind.DEST, OwnerKind.QUARANTINE, OwnerKind.PINNED):
                if count := side.engine.pool.held(kind):
                    found[kind.value] = found.get(kind.value, 0) + count
        return found

    def _carry(self, one: EngineOutbox, now: float) -> None:
        if isinstance(one, Dial):
            self._link = one.peer
        if not isinstance(one, Outbound):
            return
        if one.peer == GATEWAY:
            self.said.append(one.frame)
        elif one.peer == self._link:
            if isinstance(one.frame, Fetch):
                self.fetches.append(one.frame)
            if not self.cut:
                self.source.role.receive(Inbound(READER_LINK, one.frame), now)
        elif one.peer == READER_LINK and not self.cut:
            self.reader.role.receive(Inbound(self._link, one.frame), now)

    def _earlier(self) -> Owner:
        return Owner.pinned(transfer("earlier"))
