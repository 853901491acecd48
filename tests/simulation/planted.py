"""Bugs that tests switch on, one at a time, to prove that the simulation sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from engine.block_pool import BlockPool
from engine.owner import Owner
from engine.sequence import Sequence
from gateway import placing
from gateway.attempt import AttemptRun, AttemptState
from gateway.inbox import Heard, Inbox
from kv_transfer.prefix_fetch import PrefixFetches
from kv_transfer.sink import KvSink
from kv_transfer.slot import Slot, SlotState
from kv_transfer.source import KvSource
from protocol.ids import BlockId, Incarnation, TransferId
from protocol.links.session import Envelope, LinkSession
from protocol.messages import Prefill, Prefix, Release, Reserve
from protocol.request import Assignment, Request
from tests.simulation.node import Node
from worker.switchboard import Switchboard

Plant = Callable[[pytest.MonkeyPatch], None]


def no_luck(patch: pytest.MonkeyPatch) -> None:
    """Nothing beyond the faults of the profile."""


def silent_lapse(patch: pytest.MonkeyPatch) -> None:
    """No bug but bad luck: the word that a lease lapsed never reaches its reader."""
    patch.setattr(KvSink, "_withdrawn", lambda self, slot, message, now: None)


def no_verification(patch: pytest.MonkeyPatch) -> None:
    """The reader believes whatever it read."""
    patch.setattr(KvSink, "_verify", lambda self, slot, now: self._accept(slot, now))


def generation_not_bumped(patch: pytest.MonkeyPatch) -> None:
    """A block gets new content under its old generation number."""

    def renew(self: BlockPool) -> BlockId:
        block, _ = self._idle.popitem(last=False)
        self.retract(block)
        return block

    patch.setattr(BlockPool, "_renew", renew)


def early_prefix(patch: pytest.MonkeyPatch) -> None:
    """A prefix that is on its way can be found before it is here."""
    begin_rightly = PrefixFetches.begin

    def begin(
        self: PrefixFetches, sequence: Sequence, prefix: Prefix | None, room: int, left_s: float, now: float
    ) -> bool:
        begun = begin_rightly(self, sequence, prefix, room, left_s, now)
        if begun and prefix is not None:
            pool = self._engine.pool
            for block, content in zip(
                pool.held_by(Owner.dest(prefix.transfer)), sequence.hashes, strict=False
            ):
                pool.publish(block, content)
        return begun

    patch.setattr(PrefixFetches, "begin", begin)


def free_on_abort(patch: pytest.MonkeyPatch) -> None:
    """Blocks go back while reads may still land in them."""

    def let_go(self: KvSink, slot: Slot, now: float) -> None:
        self._links.send(slot.peer, Release(slot.transfer))
        self._pool.give_back(Owner.dest(slot.transfer))
        self._end(slot)

    patch.setattr(KvSink, "_let_go", let_go)


def release_while_draining(patch: pytest.MonkeyPatch) -> None:
    """A transfer that failed waits in quarantine; cancelling it as well ends the wait."""

    def cancel(self: KvSink, transfer: TransferId, now: float) -> None:
        slot = self._slots.get(transfer)
        if slot is not None and slot.state is SlotState.DRAIN:
            self._pool.give_back(Owner.quarantine(transfer))
            self._end(slot)
        elif slot is not None:
            self._let_go(slot, now)

    patch.setattr(KvSink, "cancel", cancel)


def free_by_number(patch: pytest.MonkeyPatch) -> None:
    """Whoever lets go of a block frees it, whoever else holds it."""

    def give_back(self: BlockPool, owner: Owner) -> None:
        for block in reversed(self._holds.pop(owner, {})):
            self._refs[block] = 0
            self._idle[block] = None

    patch.setattr(BlockPool, "give_back", give_back)


def no_incarnation(patch: pytest.MonkeyPatch) -> None:
    """A worker that comes back is taken for the one it was."""
    patch.setattr(Node, "_incarnation", lambda self: Incarnation(self.name))


def early_publish(patch: pytest.MonkeyPatch) -> None:
    """The source names a block that is not full yet."""

    def advance(self: KvSource, sequence: Sequence) -> None:
        self._publish(sequence, min(sequence.computed // sequence.block_size + 1, len(sequence.blocks)))

    patch.setattr(KvSource, "advance", advance)


def lease_without_end(patch: pytest.MonkeyPatch) -> None:
    """The source waits for its reader's Release, whatever became of the reader."""
    patch.setattr(KvSource, "before_plan", lambda self, now: None)


def prefill_before_reserve(patch: pytest.MonkeyPatch) -> None:
    """The prompt is computed before anybody holds a place for it."""
    place_rightly = AttemptRun.place

    async def place(self: AttemptRun) -> None:
        course = self._course
        if self._prefill is None:
            return await place_rightly(self)
        self._open(self._decode, course.room)
        self._open(self._prefill, course.work)
        await self._ask(self._prefill, Prefill(self._assignment, course.transfer))
        source = self._prefill.record.address
        await self._ask(self._decode, Reserve(self._assignment, course.transfer, source))
        self.reserved_at = self._clock.now()
        self._state = AttemptState.PREFILLING

    patch.setattr(AttemptRun, "place", place)


def deadline_dropped(patch: pytest.MonkeyPatch) -> None:
    """The gateway waits for a worker's word as long as it takes."""

    async def take(self: Inbox, within_s: float) -> Heard:
        while not self._heard:
            await self._bell.wait()
        return self._heard.popleft()

    patch.setattr(Inbox, "next", take)


def cancel_not_sent(patch: pytest.MonkeyPatch) -> None:
    """A client leaves, and no worker is told."""
    patch.setattr(AttemptRun, "_cancel", lambda self, link: None)


def duplicate_counted_twice(patch: pytest.MonkeyPatch) -> None:
    """A link takes an envelope that comes again for a new one."""
    accept_rightly = LinkSession._accept

    def accept(self: LinkSession, envelope: Envelope) -> tuple[bytes, ...]:
        if envelope.first > self._delivered:
            return accept_rightly(self, envelope)
        self._delivered += len(envelope.frames)
        return envelope.frames

    patch.setattr(LinkSession, "_accept", accept)


def last_words_unheard(patch: pytest.MonkeyPatch) -> None:
    """A worker that was drained ends without a look whether its last words have arrived."""

    async def at_once(self: Switchboard) -> None:
        return

    patch.setattr(Switchboard, "all_delivered", at_once)


def resume_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """A new attempt is told one token less than was sent."""

    def assignment(request: Request, attempt: int, sent: tuple[int, ...], *others: Any) -> Assignment:
        return Assignment(request, attempt, sent[:-1], *others)

    patch.setattr(placing, "Assignment", assignment)


def seed_not_carried(patch: pytest.MonkeyPatch) -> None:
    """A new attempt draws with a seed of its own."""

    def assignment(request: Request, attempt: int, sent: tuple[int, ...], *others: Any) -> Assignment:
        return Assignment(_reseeded(request, attempt) if sent else request, attempt, sent, *others)

    patch.setattr(placing, "Assignment", assignment)


def _reseeded(request: Request, attempt: int) -> Request:
    sampling = msgspec.structs.replace(request.sampling, seed=request.sampling.seed ^ attempt)
    return msgspec.structs.replace(request, sampling=sampling)


@contextmanager
def planted(*bugs: Plant) -> Iterator[None]:
    """The bugs, for the time of a block."""
    with pytest.MonkeyPatch.context() as patch:
        for bug in bugs:
            bug(patch)
        yield
