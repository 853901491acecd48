"""The prefill role: compute prompts in chunks, publish their KV, draw the first token."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from engine.engine import Engine
from engine.owner import OwnerKind
from engine.sequence import Sequence
from engine.step_hook import Progress
from kv_transfer.prefix_fetch import PrefixFetches
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from protocol.errors import (
    BatonError,
    Busy,
    ContextOverflow,
    DeadlineExceeded,
    TransferFailed,
    TransferNeedless,
)
from protocol.ids import AttemptKey
from protocol.limits import Limits
from protocol.mail import EngineOutbox, Inbound, Outbound, PeerId
from protocol.messages import Admitted, Cancel, Failed, Fetch, Prefill, Refused, StepReport
from worker.attempts import Attempt, Attempts
from worker.pull_log import PullLog
from worker.role_load import RoleLoad


class PrefillRole:
    """Plays prefill in one engine. Of others it knows readers and sources of KV, nothing else."""

    def __init__(self, engine: Engine, source: KvSource, sink: KvSink, limits: Limits) -> None:
        self._engine = engine
        self._source = source
        self._sink = sink
        self._fetches = PrefixFetches(engine, sink, limits)
        self._pulls = PullLog(engine.block_size)
        self._limits = limits
        self._attempts = Attempts()
        self._outbox: list[EngineOutbox] = []

    def receive(self, mail: Inbound, now: float) -> None:
        """Prefill and Cancel from gateways; the verbs of readers and sources of KV."""
        match mail.frame:
            case Prefill():
                self._prefill(mail.frame, mail.peer, now)
            case Cancel(key):
                self._cancel_for(mail.peer, key, now)
            case Fetch():
                self._source.fetch(mail.frame, mail.peer, now, self._engine.spare())
            case _:
                self._source.receive(mail, now)
                self._sink.receive(mail, now)

    def peer_lost(self, peer: PeerId, now: float) -> None:
        """A gateway's requests are forgotten; a reader's leases run on; pulls from a lost source fail."""
        for attempt in self._attempts.of_peer(peer):
            self._cancel(attempt.key, TransferFailed("the gateway went away"), now)
        self._source.peer_lost(peer)
        self._sink.peer_lost(peer, now)

    def before_plan(self, now: float) -> None:
        """Ends what is too late, and moves pulls of prefixes."""
        for attempt in self._attempts.expired(now):
            self._fail(attempt, DeadlineExceeded("the deadline passed before the first token"), now)
        self._source.before_plan(now)
        self._sink.before_plan(now)
        ends = self._sink.take_ends()
        self._pulls.note(ends)
        self._attempts.pulled(self._fetches.settle(ends, now), now)

    def after_commit(self, progress: Seq[Progress], began: float, now: float) -> None:
        """Publishes what a step computed; a first token goes out and ends the attempt here."""
        for one in progress:
            attempt = self._attempts.get(one.sequence.key)
            if attempt is None:
                continue
            if attempt.started_at is None:
                attempt.started_at = began
            if one.error is not None:
                self._fail(attempt, one.error, now)
            elif one.sampled is None:
                self._source.advance(one.sequence)
            else:
                self._hand_over(attempt, one, now)

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call."""
        mail = self._outbox + self._source.take_outbox() + self._sink.take_outbox()
        self._outbox = []
        return mail

    def counters(self) -> tuple[tuple[str, int], ...]:
        """Monotonic counts."""
        return self._source.counters() + self._sink.counters()

    def load(self) -> RoleLoad:
        """Those who wait for their prefix, beside what is in the engine."""
        tokens, pulls = self._fetches.queued_tokens, self._pulls.take()
        return RoleLoad(self._attempts.own(), queued_tokens=tokens, pulls=pulls)

    def turnover(self) -> int:
        """Attempts that came and attempts that went."""
        return self._attempts.turnover

    def busy(self) -> bool:
        """Whether a prefix is being read."""
        return self._sink.busy()

    def close(self) -> None:
        """Ends the transports."""
        self._sink.close()

    def _prefill(self, frame: Prefill, peer: PeerId, now: float) -> None:
        key = frame.assignment.key
        user = self._source.user(frame.transfer)
        if self._attempts.is_open(key, peer) or user == key:
            return
        sequence = self._engine.sequence(frame.assignment, len(frame.assignment.sent) + 1)
        refusal = self._refusal(sequence)
        if not self._source.is_free(frame.transfer):
            refusal = TransferFailed("the id of the transfer is taken")
        if refusal is not None:
            self._outbox.append(Outbound(peer, Refused(key, refusal.code, refusal.message)))
            return
        left_s = frame.assignment.remaining_s
        self._attempts.add(Attempt(sequence, peer, now + left_s, now))
        if not self._fetches.begin(sequence, frame.prefix, self._engine.spare(), left_s, now):
            self._engine.admit(sequence)
        self._source.open(frame.transfer, sequence, now)
        self._outbox.append(Outbound(peer, Admitted(key, 0)))

    def _refusal(self, sequence: Sequence) -> BatonError | None:
        pool = self._engine.pool
        if sequence.key in self._attempts:
            return Busy("another gateway has this attempt open here")
        if sequence.full_need > pool.total:
            return ContextOverflow(f"the prompt needs {sequence.full_need} KV blocks of {pool.total}")
        if len(self._attempts) >= self._limits.max_open_requests:
            return Busy("the prefill queue is full")
        if pool.held(OwnerKind.PINNED) > self._limits.max_pinned_share * pool.total:
            return Busy("too much KV waits to be read")
        return None

    def _hand_over(self, attempt: Attempt, progress: Progress, now: float) -> None:
        self._attempts.remove(attempt.key)
        if progress.finish is None:
            self._source.finish(progress.sequence, now)
        else:
            self._source.withdraw(attempt.key, TransferNeedless("the first token ended the request"))
        delta = attempt.delta(progress, attempt.prefill_stamps(now))
        if delta is not None:
            self._outbox.append(Outbound(attempt.peer, StepReport((delta,))))

    def _fail(self, attempt: Attempt, error: BatonError, now: float) -> None:
        self._outbox.append(Outbound(attempt.peer, Failed(attempt.key, error.code, error.message)))
        self._cancel(attempt.key, error, now)

    def _cancel_for(self, peer: PeerId, key: AttemptKey, now: float) -> None:
        """A gateway can take back what it asked for, nothing else."""
        if self._attempts.is_open(key, peer):
            self._cancel(key, TransferFailed("the request was cancelled"), now)

    def _cancel(self, key: AttemptKey, reason: BatonError, now: float) -> None:
        if self._attempts.remove(key) is not None:
            self._source.withdraw(key, reason)
            self._fetches.cancel(key, now)
            self._engine.drop(key)
