"""Every worker that this gateway is linked to, kept in step with the directory."""

from __future__ import annotations

import asyncio
import logging

from gateway.worker_link import WorkerLink
from protocol.clock import Clock
from protocol.directory import Directory
from protocol.errors import BatonError
from protocol.ids import WorkerIdentity
from protocol.limits import Limits
from protocol.links.link import Dialer
from protocol.messages import LoadReport, WorkerRecord

LOG = logging.getLogger("baton.gateway")


class Fleet:
    """Dials whoever the directory names, and forgets whoever's link closes."""

    def __init__(self, directory: Directory, dialer: Dialer, clock: Clock, limits: Limits) -> None:
        self._directory = directory
        self._dialer = dialer
        self._clock = clock
        self._limits = limits
        self._links: dict[WorkerIdentity, WorkerLink] = {}
        self._dialling: dict[WorkerIdentity, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._members: tuple[WorkerRecord, ...] = ()

    async def start(self) -> None:
        """Begins to follow the directory."""
        self._watch = asyncio.create_task(self._follow(), name="fleet")

    async def stop(self) -> None:
        """Ends every link."""
        tasks = [*self._dialling.values()] + ([self._watch] if self._watch is not None else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for link in list(self._links.values()):
            await link.disconnect()
        self._links.clear()

    def links(self) -> tuple[WorkerLink, ...]:
        """Every linked worker, in order of worker id."""
        return tuple(sorted(self._links.values(), key=lambda link: link.record.worker))

    def link(self, identity: WorkerIdentity) -> WorkerLink | None:
        """The link to that incarnation, if it is open."""
        return self._links.get(identity)

    def workers(self) -> tuple[tuple[WorkerRecord, LoadReport | None], ...]:
        """Every linked worker with its last report."""
        return tuple((link.record, link.load) for link in self.links())

    def ready(self) -> bool:
        """Whether a request can be answered now: one decode worker is enough."""
        return any(link.record.role == "decode" for link in self._links.values())

    async def _follow(self) -> None:
        while True:
            await self._refresh()
            for record in self._members:
                identity = record.address.identity
                if identity not in self._links and identity not in self._dialling:
                    task = asyncio.create_task(self._serve(record), name=f"worker {record.worker}")
                    self._dialling[identity] = task
            await self._clock.sleep(self._limits.report_every_s)

    async def _refresh(self) -> None:
        """A directory that does not answer freezes membership: the last view stays."""
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                self._members = await self._directory.members()
        except BatonError as away:
            LOG.warning("the directory does not answer, membership is frozen: %s", away.message)

    async def _serve(self, record: WorkerRecord) -> None:
        """One life of one link, from dialling to its end."""
        identity = record.address.identity
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                opened = await self._dialer.dial(record.address)
            link = WorkerLink(record, opened)
            self._links[identity] = link
            LOG.info("linked to %s worker %s", record.role, record.worker)
            await link.pump()
            LOG.warning("lost %s worker %s", record.role, record.worker)
        except BatonError as failed:
            LOG.info("cannot link to %s: %s", record.worker, failed.message)
            await self._clock.sleep(self._limits.report_every_s)
        finally:
            self._links.pop(identity, None)
            self._dialling.pop(identity, None)
