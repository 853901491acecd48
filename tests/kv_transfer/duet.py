"""One prefill and one decode worker, a wire between them, and something that goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

from engine.owner import Owner
from engine.schedule import SchedulePolicy
from kv_transfer.transport import ReadId
from protocol.ids import TransferId
from protocol.mail import Outbound
from protocol.messages import Cancel, Failed, Frame, StepReport, TokenDelta
from tests.decode_worker.decode_bench import DecodeBench
from tests.engine.modelled import answer
from tests.prefill_worker.prefill_bench import GATEWAY, LINK, ME, PrefillBench, job, key

TOLD = job(max_tokens=6)
ANSWER = answer(TOLD.request)
ROUND_S = 0.05
QUICK_ROUNDS = 20
"""Enough for a transfer without faults; afterwards every round takes SLOW_ROUND_S."""
SLOW_ROUND_S = 1.5
ROUNDS = 100
HANG_ROUNDS = 40
"""Longer than a lease and a read's deadline."""
LATE_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, at which round or at which frame of the wire."""

    kind: str
    at: int


class Duet:
    """Frames take a round, and so do reads. The prompt is computed in three chunks."""

    def __init__(self, fault: Fault, offset_s: float = 0.0) -> None:
        """`offset_s`: how far the prefill worker's clock is ahead."""
        self.source = PrefillBench(40, policy=SchedulePolicy(max_batch_tokens=4))
        self.reader = DecodeBench(40)
        self.reader.transport.remotes = {ME: self.source.engine.runner.arena}
        self.first: TokenDelta | None = None
        self._failures: list[str] = []
        self.frames = 0
        self._fault = fault
        self._offset = offset_s
        self._now = 0.0
        self._round = 0
        self._wire: list[tuple[int, bool, Frame]] = []
        """(due round, toward the source, frame)."""
        self._due_reads: list[int] = []
        self._source_dead = self._reader_dead = False

    @property
    def tokens(self) -> tuple[int, ...]:
        """What the client has heard."""
        first = () if self.first is None else self.first.tokens
        return (*first, *self.reader.tokens.get(key(), ()))

    @property
    def failures(self) -> list[str]:
        """Codes that the gateway heard, from either side."""
        return self._failures + self.reader.failures

    @property
    def ended(self) -> bool:
        """Whether the gateway knows how it ended."""
        return key() in self.reader.finished or bool(self.failures)

    def play(self) -> None:
        """Reserve, Prefill, then rounds until every deadline is over."""
        self.reader.reserve(TOLD)
        self.source.prefill(TOLD, now=self._offset)
        for self._round in range(ROUNDS):
            self._now += ROUND_S if self._round < QUICK_ROUNDS else SLOW_ROUND_S
            if self._fault.at == self._round:
                self._strike()
            self._deliver()
            if self._runs("source"):
                self.source.turn(self._now + self._offset)
                self._post_source()
                self._land()
            if self._runs("reader"):
                self.reader.turn(self._now)
                self._post_reader()
            self.reader.held()
            self.source.held()

    def reuse_source(self) -> None:
        """Other prompts take all blocks of the source that are free."""
        pool = self.source.engine.pool
        owner = Owner.quarantine(TransferId("others"))
        pool.take(owner, (), pool.available)
        self.source.engine.runner.arena.data[list(pool.held_by(owner))] = 0xDD
        pool.give_back(owner)

    def _strike(self) -> None:
        if self._fault.kind == "kill source":
            self._source_dead = True
            self._wire.clear()
            self.reader.transport.remotes.clear()
            self.reader.role.peer_lost(self.reader.link, self._now)
        elif self._fault.kind == "kill reader":
            self._reader_dead = True
            self.source.role.peer_lost(LINK, self._now + self._offset)
        elif self._fault.kind == "kill gateway":
            self.reader.role.peer_lost(GATEWAY, self._now)
            self.source.role.peer_lost(GATEWAY, self._now + self._offset)
        elif self._fault.kind == "cancel":
            self.reader.hear(Cancel(key()), GATEWAY, self._now)
            self.source.hear(Cancel(key()), GATEWAY, self._now + self._offset)

    def _runs(self, who: str) -> bool:
        if (who == "source" and self._source_dead) or (who == "reader" and self._reader_dead):
            return False
        hangs = self._fault.kind == f"hang {who}"
        since = self._round - self._fault.at
        if hangs and who == "reader" and since == HANG_ROUNDS - 1:
            self.reuse_source()
        return not (hangs and 0 <= since < HANG_ROUNDS)

    def _deliver(self) -> None:
        for entry in [one for one in self._wire if one[0] <= self._round]:
            _, to_source, frame = entry
            if not self._runs("source" if to_source else "reader"):
                continue
            self._wire.remove(entry)
            if to_source:
                self.source.hear(frame, LINK, self._now + self._offset)
            else:
                self.reader.hear(frame, self.reader.link, self._now)

    def _post_source(self) -> None:
        for mail in self.source.role.take_outbox():
            if isinstance(mail, Outbound) and mail.peer == LINK:
                self._send(mail.frame, to_source=False)
            elif isinstance(mail, Outbound) and isinstance(mail.frame, Failed):
                self._failures.append(mail.frame.code)
            elif isinstance(mail, Outbound) and isinstance(mail.frame, StepReport):
                (self.first,) = mail.frame.deltas
                self.reader.join(TOLD, now=self._now)

    def _post_reader(self) -> None:
        for frame in self.reader.sent(self.reader.link):
            self._send(frame, to_source=True)

    def _send(self, frame: Frame, *, to_source: bool) -> None:
        number, self.frames = self.frames, self.frames + 1
        due = [self._round + 1]
        if number == self._fault.at:
            due = {
                "drop frame": [],
                "double frame": [*due, self._round + 1 + LATE_ROUNDS],
                "delay frame": [self._round + 1 + LATE_ROUNDS],
            }.get(self._fault.kind, due)
        self._wire += [(one, to_source, frame) for one in due]

    def _land(self) -> None:
        for read in self._due_reads:
            if ReadId(read) in self.reader.transport.pending:
                self.reader.transport.land(ReadId(read))
        self._due_reads = [int(read) for read in self.reader.transport.pending]
