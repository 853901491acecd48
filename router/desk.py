"""What one gateway knows of one worker, as long as one link to it lives."""

from __future__ import annotations

import math
from collections.abc import Callable

from protocol.ids import AttemptKey, WorkerIdentity
from protocol.load_report import LoadReport, OwnLoad
from protocol.messages import WorkerRecord
from router.own_work import Booking, OwnWork

NOTHING = OwnLoad(0, 0)
STEP_TOKENS_PRIOR = 512
"""Prompt tokens of a step, assumed of a worker that has not said how many it takes."""
PROVEN = 16
"""First tokens after which a worker is not new any more."""


class Desk:
    """Keeps account of what was sent there and of what the worker says; each change is shown on the board.

    A worker's load is what this gateway has sent, which it knows exactly and at once, and what others have:
    the reported load without the part that the report says is this gateway's.
    """

    def __init__(self, record: WorkerRecord, show: Callable[[Desk], None], heard: int = 0) -> None:
        """`heard`: first tokens that came from there over earlier links to the same life."""
        self.record = record
        self.load: LoadReport | None = None
        self.heard = heard
        self.refused = math.inf
        """A request with as many tokens found no place since the worker last changed."""
        self._show = show
        self._own = NOTHING
        self._work = OwnWork()
        self._withdrawn = False

    @property
    def identity(self) -> WorkerIdentity:
        """Which life of which worker this is."""
        return self.record.address.identity

    @property
    def usable(self) -> bool:
        """Whether new work may be sent there."""
        return self.load is not None and not self._withdrawn

    @property
    def open_requests(self) -> int:
        """Attempts of this gateway that are open there."""
        return len(self._work)

    @property
    def open_tokens(self) -> int:
        """Prompt tokens of this gateway that are not known to be computed."""
        return self._work.prompt

    @property
    def restrained(self) -> bool:
        """Whether a new worker has as much as it may have: twice as much for each answer that it began."""
        return self.heard < PROVEN and len(self._work) > 2 * self.heard

    def hear(self, load: LoadReport, own: OwnLoad | None) -> None:
        """A report; `own` is what it says of this gateway, None for nothing."""
        self.load, self._own = load, own or NOTHING
        self._work.reported()
        self._changed()

    def withdraw(self) -> None:
        """Nothing new goes there over this link."""
        self._withdrawn = True
        self._show(self)

    def refuse(self, tokens: int) -> None:
        """The worker had no place for a request of so many tokens."""
        self.refused = min(self.refused, tokens)
        self._show(self)

    def open(self, key: AttemptKey, booking: Booking) -> None:
        """An attempt is sent there."""
        self._work.open(key, booking)
        self._show(self)

    def admitted(self, key: AttemptKey) -> None:
        """The worker has it."""
        self._work.admitted(key)

    def spoke(self, key: AttemptKey) -> bool:
        """A token of it came from there. Whether it was the first."""
        first = self._work.spoke(key)
        if first:
            self.heard += 1
            self._show(self)
        return first

    def close(self, key: AttemptKey) -> bool:
        """It is over there. Whether it was open."""
        closed = self._work.close(key)
        if closed:
            self._changed()
        return closed

    def queued_tokens(self) -> float:
        """Prompt tokens ahead of a new one. Of its own prompts this gateway knows when they are over, and
        reports know how far they have come."""
        reported = self.load.queued_tokens if self.load is not None else 0
        others = max(0, reported - self._own.queued_tokens)
        return float(others + min(self._work.prompt, self._own.queued_tokens + self._work.fresh_prompt))

    def running(self) -> float:
        """Sequences that decode there or will; none on a worker that only computes prompts."""
        if self.record.role != "decode":
            return 0.0
        reported = self.load.running + self.load.reserved if self.load is not None else 0
        return float(max(0, reported - self._own.running) + len(self._work))

    def kv_tokens(self) -> float:
        """Tokens that these attend to."""
        if self.load is None or self.record.role != "decode":
            return 0.0
        return float(self.load.kv_tokens + self._work.fresh_kv)

    def free_tokens(self) -> float:
        """KV room without a user, less what this gateway has sent since and what waits there for room."""
        if self.load is None:
            return 0.0
        waiting = self._work.prompt - self._work.fresh_prompt if self.load.waiting else 0
        return float(self.load.free_blocks * self.record.block_size - self._work.fresh_kv - waiting)

    def step_tokens(self) -> float:
        """Prompt tokens of one step beside the present batch."""
        return float((self.load.step_tokens if self.load is not None else 0) or STEP_TOKENS_PRIOR)

    def _changed(self) -> None:
        self.refused = math.inf
        self._show(self)
