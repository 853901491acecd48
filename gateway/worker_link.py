"""One gateway's link to one worker: commands down, frames up, sorted by attempt."""

from __future__ import annotations

from gateway.inbox import Inbox
from protocol.errors import LinkClosed, WorkerLost
from protocol.ids import AttemptKey, WorkerIdentity
from protocol.links.link import Link
from protocol.messages import (
    Admitted,
    Failed,
    Frame,
    LoadReport,
    Refused,
    StepReport,
    TokenDelta,
    WorkerRecord,
)
from router.route_plan import WorkerView


class WorkerLink:
    """The gateway's side of one worker."""

    def __init__(self, record: WorkerRecord, link: Link) -> None:
        self.record = record
        self.load: LoadReport | None = None
        self._link = link
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

    def view(self) -> WorkerView:
        """What the router may know."""
        return WorkerView(self.record, self.load, sum(self._prompts.values()), len(self._inboxes))

    def open(self, key: AttemptKey, inbox: Inbox, tokens: int) -> None:
        """Frames of this attempt go to `inbox`; `tokens` count as work here until one comes back."""
        self._inboxes[key] = inbox
        self._prompts[key] = tokens

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
            lost = WorkerLost(f"worker {self.record.worker} went away: {why}")
            for inbox in self._inboxes.values():
                inbox.put(self.identity, lost)

    async def disconnect(self) -> None:
        """Ends the link."""
        await self._link.close()

    def _sort(self, frame: Frame) -> None:
        match frame:
            case StepReport(deltas, load):
                self.load = load if load is not None else self.load
                for delta in deltas:
                    self._prompts.pop(delta.key, None)
                    self._deliver(delta.key, delta)
            case Admitted(key) | Refused(key) | Failed(key):
                self._deliver(key, frame)
            case _:
                self._dropped += 1

    def _deliver(self, key: AttemptKey, said: Admitted | Refused | Failed | TokenDelta) -> None:
        inbox = self._inboxes.get(key)
        if inbox is None:
            self._dropped += 1
        else:
            inbox.put(self.identity, said)
