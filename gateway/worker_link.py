"""One gateway's link to one worker: commands down, frames up, sorted by attempt."""

from __future__ import annotations

from gateway.engine_death import EngineDeath
from gateway.inbox import Inbox
from protocol.errors import LinkClosed, WorkerLeaving, WorkerLost
from protocol.ids import AttemptKey, WorkerIdentity
from protocol.limits import Limits
from protocol.links.link import Link
from protocol.load_report import LoadReport
from protocol.messages import (
    Admitted,
    Died,
    Failed,
    Frame,
    Leaving,
    Refused,
    StepReport,
    TokenDelta,
    WorkerRecord,
)
from router.route_plan import WorkerView

GATEWAY_PATIENCE = 2
"""Looks by which a gateway waits longer for a silent engine than the engine's own worker does."""


class WorkerLink:
    """The gateway's side of one worker."""

    def __init__(self, record: WorkerRecord, link: Link, limits: Limits) -> None:
        self.record = record
        self.load: LoadReport | None = None
        self._link = link
        self._limits = limits
        self._silent_s = 0.0
        self._leaving = False
        self._loss: WorkerLost | None = None
        self._inboxes: dict[AttemptKey, Inbox] = {}
        self._prompts: dict[AttemptKey, int] = {}
        self._dropped = 0

    @property
    def identity(self) -> WorkerIdentity:
        """Which life of which worker this is."""
        return self.record.address.identity

    @property
    def dropped(self) -> int:
        """Frames of attempts that are not open any more."""
        return self._dropped

    @property
    def leaving(self) -> bool:
        """Whether it takes nothing new, and finishes what it has."""
        return self._leaving

    @property
    def usable(self) -> bool:
        """Whether new work may be sent there: its engine has said how it is, and the worker stays."""
        return self.load is not None and not self._leaving and self._loss is None

    def watch(self, passed_s: float) -> bool:
        """Whether its engine lives, `passed_s` after the last look. One that begins no long step speaks
        every `report_every_s`; its own worker judges it a little earlier and says more."""
        self._silent_s += passed_s
        if self.load is None:
            return True
        patience_s = self._limits.patience_s(self.load.begun_s) + GATEWAY_PATIENCE * passed_s
        if self._silent_s <= patience_s:
            return True
        self._lose(WorkerLost(f"worker {self.record.worker} is frozen: {self._silent_s:.1f} s of silence"))
        return False

    def view(self) -> WorkerView:
        """What the router may know."""
        return WorkerView(self.record, self.load, sum(self._prompts.values()), len(self._inboxes))

    def open(self, key: AttemptKey, inbox: Inbox, tokens: int) -> None:
        """Frames of this attempt go to `inbox`; `tokens` count as work here until one comes back."""
        self._inboxes[key] = inbox
        self._prompts[key] = tokens
        if self._loss is not None:
            inbox.put(self.identity, self._loss)

    def close(self, key: AttemptKey) -> None:
        """Ends the attempt's part here; twice is harmless."""
        self._inboxes.pop(key, None)
        self._prompts.pop(key, None)

    def send(self, frame: Frame) -> None:
        """One command. Raises LinkClosed."""
        self._link.send(frame)

    async def pump(self) -> None:
        """Sorts frames until the link closes. Every open attempt is told of its end, whatever ended it."""
        why = "the gateway let it go"
        try:
            while True:
                self._sort(await self._link.receive())
        except LinkClosed as closed:
            why = closed.message
        finally:
            kind = WorkerLeaving if self._leaving else WorkerLost
            self._lose(kind(f"worker {self.record.worker} went away: {why}"))

    async def disconnect(self) -> None:
        """Ends the link."""
        await self._link.close()

    def _sort(self, frame: Frame) -> None:
        match frame:
            case StepReport(deltas, load):
                self._silent_s = 0.0
                self.load = load if load is not None else self.load
                for delta in deltas:
                    self._prompts.pop(delta.key, None)
                    self._deliver(delta.key, delta)
            case Admitted(key) | Refused(key) | Failed(key):
                self._deliver(key, frame)
            case Leaving():
                self._leaving = True
            case Died(suspects):
                self._lose(EngineDeath(self.record.worker, suspects))
            case _:
                self._dropped += 1

    def _lose(self, loss: WorkerLost) -> None:
        """Tells every open attempt, once: the first reason is the one that counts."""
        if self._loss is None:
            self._loss = loss
            for inbox in self._inboxes.values():
                inbox.put(self.identity, loss)

    def _deliver(self, key: AttemptKey, said: Admitted | Refused | Failed | TokenDelta) -> None:
        inbox = self._inboxes.get(key)
        if inbox is None:
            self._dropped += 1
        else:
            inbox.put(self.identity, said)
