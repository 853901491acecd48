"""The decode role: reserve, pull and verify KV, run the batch, stream its tokens."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from decode_worker.admission import refuse_reservation, spare_blocks
from decode_worker.reservation import Reservation
from engine.engine import Engine
from engine.owner import Owner
from engine.step_hook import Progress
from kv_transfer.prefix_fetch import PrefixFetches
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from protocol.errors import BatonError, Busy, ContextOverflow, DeadlineExceeded, TransferFailed
from protocol.ids import AttemptKey, TransferId
from protocol.limits import Limits
from protocol.mail import EngineOutbox, Inbound, Outbound, PeerId
from protocol.messages import (
    Admitted,
    Cancel,
    Compute,
    Failed,
    Fetch,
    Join,
    Refused,
    Reserve,
    StepReport,
    TokenDelta,
)
from protocol.stamp import Stamp
from worker.attempts import Attempt, Attempts
from worker.pull_log import PullLog
from worker.role_load import RoleLoad


class DecodeRole:
    """Plays decode in one engine. Of others it knows sources and readers of KV, nothing else."""

    def __init__(self, engine: Engine, sink: KvSink, source: KvSource, limits: Limits) -> None:
        self._engine = engine
        self._sink = sink
        self._source = source
        self._fetches = PrefixFetches(engine, sink, limits)
        self._pulls = PullLog(engine.block_size)
        self._limits = limits
        self._attempts = Attempts()
        self._reservations: dict[AttemptKey, Reservation] = {}
        self._by_transfer: dict[TransferId, AttemptKey] = {}
        self._outbox: list[EngineOutbox] = []

    def receive(self, mail: Inbound, now: float) -> None:
        """Commands of gateways; the verbs of sources and readers of KV."""
        match mail.frame:
            case Reserve():
                self._reserve(mail.frame, mail.peer, now)
            case Compute():
                self._compute(mail.frame, mail.peer, now)
            case Join(key, token) if self._attempts.is_open(key, mail.peer):
                self._join(key, token, now)
            case Cancel(key) if self._attempts.is_open(key, mail.peer):
                self._cancel(key, now)
            case Join() | Cancel():
                return  # of an attempt that is over, or of another gateway
            case Fetch():
                self._source.fetch(mail.frame, mail.peer, now, self._spare())
            case _:
                self._sink.receive(mail, now)
                self._source.receive(mail, now)

    def peer_lost(self, peer: PeerId, now: float) -> None:
        """A gateway's requests are forgotten; transfers from a lost source fail; a reader's leases run on."""
        for attempt in self._attempts.of_peer(peer):
            self._cancel(attempt.key, now)
        self._sink.peer_lost(peer, now)
        self._source.peer_lost(peer)

    def before_plan(self, now: float) -> None:
        """Moves transfers, lets verified requests join, ends what is too late."""
        for attempt in self._attempts.expired(now):
            self._fail(attempt.key, DeadlineExceeded("the deadline passed"), now)
        self._source.before_plan(now)
        self._sink.before_plan(now)
        ends = self._sink.take_ends()
        if not ends and not self._fetches:
            return
        self._pulls.note(ends)
        self._attempts.pulled(self._fetches.settle(ends, now), now)
        for end in ends:
            key = self._by_transfer.get(end.transfer)
            if key is None:
                continue
            if end.error is not None:
                self._fail(key, end.error, now)
            else:
                reservation = self._reservations[key]
                reservation.verified_at = now
                self._start_if_whole(reservation)

    def after_commit(self, progress: Seq[Progress], began: float, now: float) -> None:
        """Streams what a step drew: one report a gateway."""
        drawn: dict[PeerId, list[TokenDelta]] = {}
        for one in progress:
            attempt = self._attempts.get(one.sequence.key)
            if attempt is None:
                continue
            if attempt.started_at is None:
                attempt.started_at = began
            if one.error is not None:
                self._fail(attempt.key, one.error, now)
            if one.sampled is None:
                continue
            delta = attempt.delta(one, self._stamps(attempt, now))
            if delta is not None:
                drawn.setdefault(attempt.peer, []).append(delta)
            if one.finish is not None:
                self._forget(attempt.key)
        self._outbox += [Outbound(peer, StepReport(tuple(deltas))) for peer, deltas in drawn.items()]

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call."""
        mail = self._outbox + self._sink.take_outbox() + self._source.take_outbox()
        self._outbox = []
        return mail

    def counters(self) -> tuple[tuple[str, int], ...]:
        """Monotonic counts."""
        return self._sink.counters() + self._source.counters()

    def load(self) -> RoleLoad:
        """Reservations that have not joined the batch, and those who wait for their prefix, beside what is in
        the engine."""
        own, pulls = self._attempts.own(self._reservations), self._pulls.take()
        return RoleLoad(own, len(self._reservations), self._fetches.queued_tokens, pulls)

    def turnover(self) -> int:
        """Attempts that came and attempts that went."""
        return self._attempts.turnover

    def busy(self) -> bool:
        """Whether a transfer is in flight."""
        return self._sink.busy()

    def close(self) -> None:
        """Ends the transports."""
        self._sink.close()

    def _reserve(self, frame: Reserve, peer: PeerId, now: float) -> None:
        key = frame.assignment.key
        if self._attempts.is_open(key, peer):
            return
        sequence = self._engine.sequence(frame.assignment, frame.assignment.request.max_tokens)
        pool = self._engine.pool
        hits = pool.match(sequence.findable)
        open_ones = tuple(self._reservations.values())
        refusal = self._clash(key, frame.transfer)
        if refusal is None:
            refusal = refuse_reservation(self._engine, open_ones, sequence, len(hits), pool.room(hits))
        if refusal is not None:
            self._refuse(key, peer, refusal)
            return
        blocks = sequence.blocks_for(len(sequence.tokens))
        held = pool.take(Owner.dest(frame.transfer), hits, blocks - len(hits))
        sequence.cached = len(hits) * self._engine.block_size
        attempt = Attempt(sequence, peer, now + frame.assignment.remaining_s, now)
        self._attempts.add(attempt)
        self._reservations[key] = Reservation(attempt, frame.transfer, blocks)
        self._by_transfer[frame.transfer] = key
        self._sink.open(frame.transfer, frame.source, tuple(held), len(hits), now)
        self._outbox.append(Outbound(peer, Admitted(key, sequence.cached)))

    def _compute(self, frame: Compute, peer: PeerId, now: float) -> None:
        key = frame.assignment.key
        if self._attempts.is_open(key, peer):
            return
        sequence = self._engine.sequence(frame.assignment, frame.assignment.request.max_tokens)
        clash = self._clash(key, None)
        total = self._engine.pool.total
        if clash is not None:
            self._refuse(key, peer, clash)
        elif sequence.full_need > total:
            wrong = ContextOverflow(f"the request needs {sequence.full_need} KV blocks of {total}")
            self._refuse(key, peer, wrong)
        elif len(self._attempts) >= self._limits.max_open_requests:
            self._refuse(key, peer, Busy("the queue is full"))
        else:
            left_s = frame.assignment.remaining_s
            self._attempts.add(Attempt(sequence, peer, now + left_s, now))
            if not self._fetches.begin(sequence, frame.prefix, self._spare(), left_s, now):
                self._engine.admit(sequence)
            self._outbox.append(Outbound(peer, Admitted(key, 0)))

    def _join(self, key: AttemptKey, token: int, now: float) -> None:
        reservation = self._reservations.get(key)
        if reservation is None or reservation.joined_at is not None:
            return
        sequence = reservation.attempt.sequence
        if sequence.generated + 1 >= sequence.limit:
            return  # that token was the last one: blocks for more were never reserved
        reservation.joined_at = now
        sequence.append(token)
        self._start_if_whole(reservation)

    def _spare(self) -> int:
        return spare_blocks(self._engine, tuple(self._reservations.values()))

    def _clash(self, key: AttemptKey, transfer: TransferId | None) -> BatonError | None:
        """Why these names cannot be used; ids are drawn at random, so only confusion leads here."""
        if key in self._attempts:
            return Busy("another gateway has this attempt open here")
        if transfer is not None and (transfer in self._by_transfer or self._sink.has(transfer)):
            return TransferFailed("the id of the transfer is taken")
        return None

    def _start_if_whole(self, reservation: Reservation) -> None:
        if reservation.joined_at is not None and reservation.verified_at is not None:
            self._engine.adopt(reservation.attempt.sequence, Owner.dest(reservation.transfer))

    def _stamps(self, attempt: Attempt, now: float) -> tuple[Stamp, ...]:
        if attempt.reported:
            return ()
        attempt.reported = True
        reservation = self._reservations.pop(attempt.key, None)
        if reservation is None:
            return attempt.prefill_stamps(now)
        del self._by_transfer[reservation.transfer]
        return reservation.stamps(now)

    def _fail(self, key: AttemptKey, error: BatonError, now: float) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None:
            self._outbox.append(Outbound(attempt.peer, Failed(key, error.code, error.message)))
            self._cancel(key, now)

    def _refuse(self, key: AttemptKey, peer: PeerId, error: BatonError) -> None:
        self._outbox.append(Outbound(peer, Refused(key, error.code, error.message)))

    def _cancel(self, key: AttemptKey, now: float) -> None:
        reservation = self._reservations.get(key)
        self._forget(key)
        self._fetches.cancel(key, now)
        if self._engine.drop(key) or reservation is None:
            return
        if reservation.verified_at is None:
            self._sink.cancel(reservation.transfer, now)
        else:
            self._engine.pool.give_back(Owner.dest(reservation.transfer))

    def _forget(self, key: AttemptKey) -> None:
        self._attempts.remove(key)
        reservation = self._reservations.pop(key, None)
        if reservation is not None:
            del self._by_transfer[reservation.transfer]
