"""One try at one request on one plan: reserve, prefill, join, stream."""

from __future__ import annotations

from enum import Enum

from gateway.inbox import Inbox
from gateway.worker_link import WorkerLink
from protocol.clock import Clock
from protocol.errors import BatonError, DeadlineExceeded, LinkClosed, WorkerLost, error_from_code
from protocol.ids import TransferId, WorkerIdentity
from protocol.limits import Limits
from protocol.messages import Admitted, Cancel, Compute, Failed, Join, Prefill, Refused, Reserve, TokenDelta
from protocol.request import Assignment

INBOX_ROOM = 65536


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

    def __init__(
        self,
        assignment: Assignment,
        decode: WorkerLink,
        prefill: WorkerLink | None,
        transfer: TransferId,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._assignment = assignment
        self._decode = decode
        self._prefill = prefill
        self._transfer = transfer
        self._clock = clock
        self._limits = limits
        self._inbox = Inbox(clock, INBOX_ROOM)
        self._key = assignment.key
        self._deadline = clock.now() + assignment.remaining_s
        self._state = AttemptState.PLACING
        self._next = len(assignment.sent)
        self.failed_at: WorkerIdentity | None = None
        """The worker that the last failure points to."""

    async def place(self) -> None:
        """Reserves at the decode worker, then hands the prompt to the prefill worker.
        Raises Busy (or another error of the tree); then nothing is held once `end` has run."""
        tokens = len(self._assignment.tokens)
        if self._prefill is None:
            self._decode.open(self._key, self._inbox, tokens)
            self._send(self._decode, Compute(self._assignment))
            await self._admitted(self._decode)
            self._state = AttemptState.DECODING
            return
        self._decode.open(self._key, self._inbox, 0)
        source = self._prefill.record.address
        self._send(self._decode, Reserve(self._assignment, self._transfer, source))
        await self._admitted(self._decode)
        self._prefill.open(self._key, self._inbox, tokens)
        self._send(self._prefill, Prefill(self._assignment, self._transfer))
        await self._admitted(self._prefill)
        self._state = AttemptState.PREFILLING

    async def next(self) -> TokenDelta:
        """The next delta in order; the last one has `finish` set. Raises one error of the tree instead."""
        while True:
            delta = await self._next_delta()
            if delta.first_index == self._next:
                self._next += len(delta.tokens)
                self._advance(delta)
                return delta

    def end(self) -> None:
        """Takes the attempt back from every worker that may still hold it; twice is harmless."""
        for link in (self._prefill, self._decode):
            if link is None:
                continue
            link.close(self._key)
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

    async def _admitted(self, link: WorkerLink) -> None:
        while True:
            heard = await self._hear(self._limits.peer_deadline_s, link.identity)
            if isinstance(heard, Admitted):
                return

    async def _next_delta(self) -> TokenDelta:
        while True:
            heard = await self._hear(self._deadline - self._clock.now(), None)
            if isinstance(heard, TokenDelta):
                return heard

    async def _hear(self, within_s: float, only: WorkerIdentity | None) -> Admitted | TokenDelta:
        """The next good news; bad news is raised. With `only`, news must come from that worker in time."""
        left = self._deadline - self._clock.now()
        if left <= 0:
            raise DeadlineExceeded("the request's deadline passed")
        try:
            heard = await self._inbox.next(min(within_s, left))
        except DeadlineExceeded as late:
            if only is None or within_s >= left:
                raise DeadlineExceeded("the request's deadline passed") from late
            self.failed_at = only
            raise WorkerLost(f"worker {only.worker} did not answer in time") from late
        match heard.said:
            case Admitted() | TokenDelta():
                return heard.said
            case Refused(_, code, message) | Failed(_, code, message):
                self.failed_at = heard.worker
                raise error_from_code(code, message)
            case WorkerLost():
                if self._needless(heard.worker):
                    return await self._hear(within_s, only)
                self.failed_at = heard.worker
                raise heard.said

    def _needless(self, worker: WorkerIdentity) -> bool:
        """After the first token the prefill worker owes this gateway nothing."""
        past_prefill = self._state is AttemptState.DECODING
        return past_prefill and self._prefill is not None and worker == self._prefill.identity

    def _send(self, link: WorkerLink, frame: Compute | Reserve | Prefill | Join) -> None:
        try:
            link.send(frame)
        except LinkClosed as closed:
            self.failed_at = link.identity
            raise WorkerLost(f"worker {link.record.worker} went away") from closed

    def _cancel(self, link: WorkerLink) -> None:
        try:
            link.send(Cancel(self._key))
        except BatonError:
            return  # a worker whose link is closed has dropped the attempt by itself
