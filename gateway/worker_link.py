"""One gateway's link to one worker: commands down, frames up, sorted by attempt."""

from __future__ import annotations

from gateway.engine_death import EngineDeath
from gateway.gong import Gong
from gateway.inbox import Inbox
from gateway.quarantine import Quarantine
from protocol.errors import LinkClosed, WorkerLeaving, WorkerLost
from protocol.ids import AttemptKey, WorkerIdentity
from protocol.kv_events import KvEvents
from protocol.limits import Limits
from protocol.links.link import Link
from protocol.load_report import LoadReport
from protocol.messages import (
    Admitted,
    Died,
    Failed,
    Frame,
    Leaving,
    Poisonous,
    Refused,
    StepReport,
    TokenDelta,
    WorkerRecord,
)
from router.desk import Desk
from router.outlook import Outlook
from router.own_work import Booking

GATEWAY_PATIENCE = 2
"""Looks by which a gateway waits longer for a silent engine than the engine's own worker does."""


class WorkerLink:
    """The gateway's side of one worker."""

    def __init__(
        self,
        record: WorkerRecord,
        link: Link,
        limits: Limits,
        outlook: Outlook,
        gong: Gong,
        quarantine: Quarantine,
    ) -> None:
        """`outlook` and `quarantine` learn what the worker says; `gong` rings when it may have a place."""
        self.record = record
        self.identity: WorkerIdentity = record.address.identity
        """Which life of which worker this is."""
        self.desk: Desk = outlook.join(record)
        self._outlook = outlook
        self._gong = gong
        self._quarantine = quarantine
        self._link = link
        self._limits = limits
        self._silent_s = 0.0
        self._leaving = False
        self._loss: WorkerLost | None = None
        self._inboxes: dict[AttemptKey, Inbox] = {}
        self._dropped = 0

    @property
    def load(self) -> LoadReport | None:
        """The last report; None before the first."""
        return self.desk.load

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
        return self.desk.usable

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

    def open(self, key: AttemptKey, inbox: Inbox, booking: Booking) -> None:
        """Frames of this attempt go to `inbox`; its booking counts as load here from now on."""
        self._inboxes[key] = inbox
        self.desk.open(key, booking)
        if self._loss is not None:
            inbox.put(self.identity, self._loss)

    def close(self, key: AttemptKey) -> None:
        """Ends the attempt's part here; twice is harmless."""
        self._inboxes.pop(key, None)
        if self.desk.close(key):
            self._gong.ring()

    def send(self, frame: Frame) -> None:
        """One command. Raises LinkClosed."""
        self._link.send(frame)

    async def pump(self) -> None:
        """Sorts frames until the link closes. Every open attempt is told of its end, whatever ended it."""
        why = "the gateway let it go"
        try:
            for known in self._quarantine.known():
                self.send(known)
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
            case StepReport():
                self._hear(frame)
            case Admitted(key):
                self.desk.admitted(key)
                self._deliver(key, frame)
            case Refused(key) | Failed(key):
                self._deliver(key, frame)
            case KvEvents():
                self._outlook.apply(frame)
            case Leaving():
                self._leaving = True
                self.desk.withdraw()
            case Poisonous():
                self._quarantine.hear(frame)
            case Died(suspects):
                self._lose(EngineDeath(self.record.worker, suspects))
            case _:
                self._dropped += 1

    def _hear(self, report: StepReport) -> None:
        """Tokens first, so that what they end is no load any more; then whoever waits may look."""
        self._silent_s = 0.0
        news = report.load is not None
        for delta in report.deltas:
            news |= self.desk.spoke(delta.key)
            self._deliver(delta.key, delta)
        if report.load is not None:
            self.desk.hear(report.load, report.own)
            self._outlook.board.learn(self.identity, report.load)
        if news:
            self._gong.ring()

    def _lose(self, loss: WorkerLost) -> None:
        """Tells every open attempt, once: the first reason is the one that counts."""
        if self._loss is None:
            self._loss = loss
            self.desk.withdraw()
            for inbox in self._inboxes.values():
                inbox.put(self.identity, loss)

    def _deliver(self, key: AttemptKey, said: Admitted | Refused | Failed | TokenDelta) -> None:
        inbox = self._inboxes.get(key)
        if inbox is None:
            self._dropped += 1
        else:
            inbox.put(self.identity, said)
