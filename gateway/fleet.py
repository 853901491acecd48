"""Every worker that this gateway is linked to, kept in step with the directory."""

from __future__ import annotations

import asyncio
import logging

from gateway.gong import Gong
from gateway.quarantine import Quarantine
from gateway.worker_link import WorkerLink
from protocol.clock import Clock
from protocol.directory import Directory
from protocol.errors import LinkClosed
from protocol.ids import WorkerId, WorkerIdentity
from protocol.kv_events import KvDumpWanted
from protocol.limits import Limits
from protocol.links.link import Dialer
from protocol.load_report import LoadReport
from protocol.messages import Frame, WorkerRecord
from router.outlook import Outlook

LOG = logging.getLogger("baton.gateway")


class Fleet:
    """Dials whoever the directory names, again and again, and forgets whoever's link closes."""

    def __init__(
        self, directory: Directory, dialer: Dialer, clock: Clock, limits: Limits, outlook: Outlook
    ) -> None:
        """`outlook` is kept up to date with whoever is linked."""
        self.gong = Gong()
        """Rings when there may be a place where there was none."""
        self.quarantine = Quarantine(clock, limits.poison_s, self._tell)
        """Of this gateway, and as far as its workers have heard of others."""
        self._outlook = outlook
        self._wanting: frozenset[WorkerIdentity] = frozenset()
        self._directory = directory
        self._dialer = dialer
        self._clock = clock
        self._limits = limits
        self._links: dict[WorkerIdentity, WorkerLink] = {}
        self._keeping: dict[WorkerIdentity, asyncio.Task[None]] = {}
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._members: dict[WorkerId, WorkerRecord] = {}
        self._frozen = False

    async def start(self) -> None:
        """Begins to follow the directory and to watch the engines."""
        follow = asyncio.create_task(self._follow(), name="fleet")
        self._tasks = (follow, asyncio.create_task(self._watch(), name="fleet watch"))

    async def stop(self) -> None:
        """Ends every link; attempts that are still open lose their workers."""
        tasks = [*self._keeping.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def links(self) -> tuple[WorkerLink, ...]:
        """Every linked worker, in order of worker id."""
        return tuple(sorted(self._links.values(), key=lambda link: link.record.worker))

    def usable(self) -> tuple[WorkerLink, ...]:
        """Every worker that may be sent new work, in order of worker id."""
        return tuple(link for link in self.links() if link.usable)

    def link(self, identity: WorkerIdentity) -> WorkerLink | None:
        """The link to that incarnation, if it is open."""
        return self._links.get(identity)

    def workers(self) -> tuple[tuple[WorkerRecord, LoadReport | None], ...]:
        """Every linked worker with its last report."""
        return tuple((link.record, link.load) for link in self.links())

    def ready(self) -> bool:
        """Whether a request can be answered now: one decode worker is enough."""
        return any(link.record.role == "decode" for link in self.usable())

    async def _follow(self) -> None:
        while True:
            await self._refresh()
            self._end_former_lives()
            for record in self._members.values():
                identity = record.address.identity
                if identity not in self._keeping:
                    task = asyncio.create_task(self._keep(record), name=f"worker {record.worker}")
                    self._keeping[identity] = task
            await self._clock.sleep(self._limits.report_every_s)

    async def _watch(self) -> None:
        """Lets go of engines that are frozen. Silence is counted by these looks, so that a pause of this
        gateway is not taken for one of theirs."""
        while True:
            await self._clock.sleep(self._limits.report_every_s)
            for link in self.links():
                if not link.watch(self._limits.report_every_s):
                    LOG.warning("%s worker %s is frozen", link.record.role, link.record.worker)
                    self._keeping[link.identity].cancel()  # it is dialled again while the directory names it
            self._ask_for_dumps()

    def _ask_for_dumps(self) -> None:
        """Of whoever missed some events, or whose first have not come within a look."""
        wanting = self._outlook.wanting()
        for identity in wanting:
            link = self._links.get(identity)
            if link is not None and identity in self._wanting:
                _send(link, KvDumpWanted(identity))
        self._wanting = frozenset(wanting)

    def _tell(self, frame: Frame) -> None:
        for link in self.links():
            _send(link, frame)

    async def _refresh(self) -> None:
        """A directory that does not answer freezes membership, whatever it raises: the last view stays."""
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                members = await self._directory.members()
        except Exception as away:
            if not self._frozen:
                LOG.warning("the directory does not answer, membership is frozen: %r", away)
            self._frozen = True
            return
        if self._frozen:
            LOG.info("the directory answers again")
        self._frozen = False
        self._members = {record.worker: record for record in members}

    def _end_former_lives(self) -> None:
        """A worker that came back has lost all that its former life held, and nobody waits for that;
        unless the former life has said that it leaves, and still finishes what it has."""
        for identity, task in self._keeping.items():
            record, link = self._members.get(identity.worker), self._links.get(identity)
            if record is not None and record.address.identity != identity:
                if link is None or not link.leaving:
                    task.cancel()

    async def _keep(self, record: WorkerRecord) -> None:
        """Dials while the directory names this life of the worker, more and more slowly as it fails."""
        shortest_s = pause_s = self._limits.report_every_s
        try:
            while self._members.get(record.worker) == record:
                linked = await self._serve(record)
                pause_s = shortest_s if linked else min(2 * pause_s, self._limits.peer_deadline_s)
                await self._clock.sleep(pause_s)
        finally:
            del self._keeping[record.address.identity]
            self._outlook.leave(record.address.identity)

    async def _serve(self, record: WorkerRecord) -> bool:
        """One link from dialling to its end. Whether there was one; no failure of it is another's."""
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                opened = await self._dialer.dial(record.address)
        except Exception as failed:
            LOG.info("cannot link to %s: %r", record.worker, failed)
            return False
        link = WorkerLink(record, opened, self._limits, self._outlook, self.gong, self.quarantine)
        self._links[link.identity] = link
        LOG.info("linked to %s worker %s", record.role, record.worker)
        try:
            await link.pump()
        except Exception:
            LOG.exception("the link to %s failed", record.worker)
        finally:
            del self._links[link.identity]
            await self._close(link)
        LOG.warning("lost %s worker %s", record.role, record.worker)
        return True

    async def _close(self, link: WorkerLink) -> None:
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                await link.disconnect()
        except Exception as failed:
            LOG.info("the link to %s did not end well: %r", link.record.worker, failed)


def _send(link: WorkerLink, frame: Frame) -> None:
    try:
        link.send(frame)
    except LinkClosed:
        return  # its next link begins with all of this
