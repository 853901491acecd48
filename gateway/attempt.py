"""One try at one request on one plan: reserve, prefill, join, stream."""

from __future__ import annotations

import logging
from enum import Enum

from gateway.course import Course
from gateway.inbox import Heard, Inbox
from gateway.worker_link import WorkerLink
from protocol.clock import Clock
from protocol.delta_run import joined
from protocol.errors import (
    BatonError,
    DeadlineExceeded,
    LinkClosed,
    TransferFailed,
    TransferNeedless,
    WorkerLeaving,
    WorkerLost,
    error_from_code,
)
from protocol.ids import AttemptKey, WorkerIdentity
from protocol.limits import Limits
from protocol.messages import Admitted, Cancel, Compute, Failed, Join, Prefill, Refused, Reserve, TokenDelta
from protocol.request import Assignment
from router.own_work import Booking

LOG = logging.getLogger("baton.gateway")
INBOX_ROOM = 65536
TOO_LATE = "the request's deadline passed"


class AttemptState(Enum):
    """How far an attempt has come."""

    PLACING = "placing"
    """No worker has admitted it, or the prefill worker has not."""
    PREFILLING = "prefilling"
    """Both hold a place; the first token is on its way."""
    DECODING = "decoding"
    """The decode worker streams."""
    DONE = "done"


class AttemptRun:
    """Drives one attempt. Whatever happens, `end` leaves nothing of it on any worker."""

    def __init__(self, assignment: Assignment, course: Course, clock: Clock, limits: Limits) -> None:
        self._assignment = assignment
        self._course = course
        self._decode = course.decode
        self._prefill = course.prefill
        self._clock = clock
        self._limits = limits
        self._inbox = Inbox(clock, INBOX_ROOM)
        self._key = assignment.key
        self._deadline = clock.now() + assignment.remaining_s
        self._state = AttemptState.PLACING
        self._next = len(assignment.sent)
        self._opened: list[WorkerLink] = []
        """Workers in whose books it stands."""
        self._asked: list[WorkerLink] = []
        """Workers that may hold something of it."""
        self._last_token_comes = False
        """Whether the prefill worker's token ends it, so that the decode worker has let go."""
        self.reserved_at = clock.now()
        """When the decode worker admitted it."""
        self.failed_at: WorkerIdentity | None = None
        """The worker that the last failure points to."""

    @property
    def key(self) -> AttemptKey:
        """Which attempt this is."""
        return self._key

    @property
    def alone(self) -> bool:
        """Whether it shares no step until its first token."""
        return self._assignment.alone

    async def place(self) -> None:
        """Reserves at the decode worker, then hands the prompt to the prefill worker, in whose books it is
        from the start: others are planned while the decode worker thinks.
        Raises Busy (or another error of the tree); then nothing is held once `end` has run."""
        assignment, course = self._assignment, self._course
        if self._prefill is None:
            self._open(self._decode, course.work)
            await self._ask(self._decode, Compute(assignment, course.prefix))
            self.reserved_at = self._clock.now()
            self._state = AttemptState.DECODING
            return
        self._open(self._decode, course.room)
        self._open(self._prefill, course.work)
        await self._ask(self._decode, Reserve(assignment, course.transfer, self._prefill.record.address))
        self.reserved_at = self._clock.now()
        await self._ask(self._prefill, Prefill(assignment, course.transfer, course.prefix))
        self._state = AttemptState.PREFILLING

    async def next(self) -> TokenDelta:
        """The next delta in order; the last one has `finish` set. Raises one error of the tree instead.
        While the client is read to more slowly than the workers speak, several become one."""
        while True:
            try:
                heard = await self._inbox.next(self._deadline - self._clock.now())
            except DeadlineExceeded as late:
                raise DeadlineExceeded(TOO_LATE) from late
            delta = heard.said
            if not isinstance(delta, TokenDelta):
                self._take(heard)
                continue
            if delta.first_index < self._next:
                continue
            if delta.first_index > self._next or not delta.tokens:
                raise self._lost(heard.worker, "left out a token")
            self._next += len(delta.tokens)
            self._advance(delta)
            if self._state is AttemptState.DECODING and self._inbox.waiting:
                return self._with_following(delta)
            return delta

    def _with_following(self, delta: TokenDelta) -> TokenDelta:
        """What has come meanwhile goes with it."""
        following = self._inbox.following(self._next)
        for more in following:
            self._next += len(more.tokens)
            self._advance(more)
        return joined((delta, *following))

    def end(self) -> None:
        """Takes the attempt back from every worker that may still hold it; twice is harmless."""
        while self._opened:
            self._opened.pop().close(self._key)
        self._inbox.close()
        while self._asked:
            link = self._asked.pop()
            if self._state is not AttemptState.DONE:
                self._cancel(link)

    def _advance(self, delta: TokenDelta) -> None:
        """The first token hands the request over; one that ends it leaves the decode slot without use."""
        first = self._state is AttemptState.PREFILLING
        if delta.finish is not None:
            self._state = AttemptState.DONE
            if first:
                self._cancel(self._decode)
        elif first:
            self._state = AttemptState.DECODING
            self._send(self._decode, Join(self._key, delta.tokens[0]))

    def _open(self, link: WorkerLink, booking: Booking) -> None:
        link.open(self._key, self._inbox, booking)
        self._opened.append(link)

    async def _ask(self, link: WorkerLink, frame: Compute | Reserve | Prefill) -> None:
        """Asks a worker to admit the attempt."""
        self._asked.append(link)
        self._send(link, frame)
        until = self._clock.now() + self._limits.peer_deadline_s
        while True:
            try:
                heard = await self._inbox.next(min(until, self._deadline) - self._clock.now())
            except DeadlineExceeded as late:
                if until < self._deadline:
                    raise self._lost(link.identity, "did not answer in time") from late
                raise DeadlineExceeded(TOO_LATE) from late
            self._take(heard)
            if isinstance(heard.said, Admitted) and heard.worker == link.identity:
                return

    def _take(self, heard: Heard) -> None:
        """What is no token. Bad news is raised."""
        said = heard.said
        if isinstance(said, Failed) and said.code == TransferNeedless.code:
            self._last_token_comes = True  # the decode worker heard sooner that the first token is the last
        elif isinstance(said, Refused | Failed):
            raise self._bad_news(heard.worker, said)
        elif isinstance(said, WorkerLost) and not self._needless(heard.worker):
            self.failed_at = heard.worker
            raise said

    def _bad_news(self, worker: WorkerIdentity, said: Refused | Failed) -> BatonError:
        """What a worker said, as an error. A decode worker that lost something lost its source; if that
        is leaving, nobody is to blame."""
        error = error_from_code(said.code, said.message)
        self.failed_at = worker
        leaves = isinstance(error, WorkerLeaving)
        if self._prefill is not None and isinstance(error, WorkerLost | TransferFailed) and not leaves:
            self.failed_at = self._prefill.identity
            if self._prefill.leaving:
                return WorkerLeaving(f"worker {worker.worker}'s source has left")
        return error

    def _lost(self, worker: WorkerIdentity, how: str) -> WorkerLost:
        self.failed_at = worker
        return WorkerLost(f"worker {worker.worker} {how}")

    def _needless(self, worker: WorkerIdentity) -> bool:
        """After the first token the prefill worker owes this gateway nothing; nor does the decode worker
        if that is the last."""
        if self._prefill is None:
            return False
        if worker == self._prefill.identity:
            return self._state is AttemptState.DECODING
        return self._last_token_comes

    def _send(self, link: WorkerLink, frame: Compute | Reserve | Prefill | Join) -> None:
        try:
            link.send(frame)
        except LinkClosed as closed:
            if not link.leaving:
                raise self._lost(link.identity, "went away") from closed
            self.failed_at = link.identity
            raise WorkerLeaving(f"worker {link.record.worker} has left") from closed

    def _cancel(self, link: WorkerLink) -> None:
        try:
            link.send(Cancel(self._key))
        except LinkClosed:
            return  # with its link, the worker has dropped the attempt by itself
        except Exception:  # or the other worker would not be told
            LOG.exception("cannot cancel at %s", link.record.worker)
