"""The I/O process's part of a worker: the engine's life, its links, its place in the directory."""

from __future__ import annotations

import asyncio
import logging

from protocol.clock import Clock
from protocol.directory import Directory
from protocol.errors import BatonError, DeadlineExceeded, EngineFailed, WorkerLost, error_from_code
from protocol.limits import Limits
from protocol.links.link import Dialer, LinkServer
from protocol.mail import Begun, Dial, Drain, Drained, EngineFacts, EngineNews, Fatal, Outbound, Sealed
from protocol.messages import Died, WorkerAddress, WorkerRecord
from worker.engine_host import EngineHost
from worker.engine_watch import EngineWatch
from worker.registration import Registration
from worker.switchboard import Switchboard

TICKS_TO_TELL = 2

logger = logging.getLogger(__name__)


class WorkerServer:
    """One worker, for one life of its engine. When the engine ends, everything ends: a half-dead
    worker never serves."""

    def __init__(
        self,
        host: EngineHost,
        link_server: LinkServer,
        dialer: Dialer,
        directory: Directory,
        clock: Clock,
        limits: Limits,
        role: str,
        bind: str = "127.0.0.1",
    ) -> None:
        self._host = host
        self._link_server = link_server
        self._directory = directory
        self._clock = clock
        self._limits = limits
        self._role = role
        self._bind = bind
        self._switchboard = Switchboard(host.post, dialer, clock, limits)
        self._registration: Registration | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._watch = EngineWatch(host, clock, limits)
        self._failure: BatonError | None = None
        self._drained = asyncio.Event()
        self._finished = asyncio.Event()

    async def start(self, deadline_s: float) -> WorkerRecord:
        """Starts the engine, listens, registers. Raises what EngineHost.start raises; then nothing
        is left running."""
        facts = await self._host.start(deadline_s)
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                port = await self._link_server.start(self._switchboard.accept)
        except BaseException:
            await self._host.stop(0.0)
            raise
        record = self._record(facts, port)
        self._registration = Registration(self._directory, record, self._clock, self._limits)
        self._registration.keep()
        self._task = asyncio.get_running_loop().create_task(self._live(self._registration))
        return record

    def health(self) -> None:
        """Raises what ended the worker, if it has ended."""
        if self._failure is not None:
            raise self._failure
        if self._task is None or self._finished.is_set():
            raise WorkerLost("the worker is not running")

    async def finished(self) -> None:
        """Returns when the worker was stopped; raises what ended it if it ended by itself."""
        await self._finished.wait()
        if self._failure is not None:
            raise self._failure

    async def drain(self, finish_s: float) -> None:
        """Leaves so that nobody notices: out of the directory, new work is refused, what is here is
        finished within `finish_s`. What is left then is handed over: its gateways plan it again. KV that
        a reader may still want is kept until it is read or its lease has lapsed, and the last words are
        repeated until they have arrived. To be followed by `stop`; doing it twice is harmless. The engine
        may die meanwhile: that ends it as well."""
        if self._registration is None or self._finished.is_set():
            return
        self._switchboard.leave()
        try:
            self._host.post(Drain())
        except WorkerLost:
            return
        await self._registration.leave()
        await self._clock.sleep(self._limits.report_every_s)  # who has not heard yet is still answered
        if not await self._drained_within(finish_s):
            await self._switchboard.hang_up_gateways()
            await self._drained_within(self._limits.lease_s + self._limits.renew_every_s)
        await self._switchboard.all_delivered()

    async def stop(self, grace_s: float) -> None:
        """Leaves the directory, refuses new links, lets the engine end its step, closes all.
        Attempts that are still running are lost to their gateways, which plan them again."""
        if self._task is None:
            return
        self._switchboard.refuse()
        if not self._stopping:
            self._stopping = True
            self._switchboard.leave()
        if self._registration is not None:
            await self._registration.leave()
        await self._host.stop(grace_s)
        await self._finished.wait()

    async def _drained_within(self, seconds: float) -> bool:
        try:
            async with self._clock.deadline(seconds):
                await self._drained.wait()
        except DeadlineExceeded:
            return False
        return True

    async def _live(self, registration: Registration) -> None:
        """From the start of the engine to its end, and then the end of all else."""
        watching = asyncio.get_running_loop().create_task(self._watch.run())
        try:
            await self._pump()
        except BatonError as end:
            failure = self._watch.verdict or end
            self._failure = None if self._stopping and isinstance(failure, WorkerLost) else failure
        except Exception as bug:
            logger.exception("the worker failed")
            self._failure = EngineFailed(f"{type(bug).__name__}: {bug}")
        finally:
            if self._watch.verdict is None:
                watching.cancel()  # else it is ending the engine, and is let finish that
            if self._failure is not None and not self._stopping:
                await self._tell_death()
            await asyncio.gather(watching, return_exceptions=True)
            await self._close(registration)

    async def _tell_death(self) -> None:
        """What was lost on the way is sent again at the next tick of a link: links stay for two."""
        self._switchboard.tell_gateways(Died(self._watch.suspects))
        await self._clock.sleep(TICKS_TO_TELL * self._limits.report_every_s)

    async def _pump(self) -> None:
        """Carries out what the engine says until it ends."""
        while True:
            batch = await self._host.receive()  # its end is watched over: an engine is silent or ends
            self._watch.heard()
            for mail in batch:
                self._obey(mail)

    def _obey(self, mail: EngineNews) -> None:
        if isinstance(mail, (Sealed, Outbound)):
            self._switchboard.deliver(mail)
        elif isinstance(mail, Dial):
            self._switchboard.dial(mail)
        elif isinstance(mail, Begun):
            self._watch.begun(mail)
        elif isinstance(mail, Drained):
            self._drained.set()
        elif isinstance(mail, Fatal):
            raise error_from_code(mail.code, mail.message)

    async def _close(self, registration: Registration) -> None:
        """Links first: their peers then plan again at once."""
        try:
            await self._switchboard.close()
            await self._stop_links()
            await registration.leave()
            await self._host.stop(0.0)
        finally:
            self._drained.set()
            self._finished.set()

    async def _stop_links(self) -> None:
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                await self._link_server.stop()
        except DeadlineExceeded as late:
            logger.warning("the link server did not stop: %s", late)

    def _record(self, facts: EngineFacts, port: int) -> WorkerRecord:
        return WorkerRecord(
            address=WorkerAddress(facts.identity, self._bind, port),
            role=self._role,
            model=facts.model,
            max_context=facts.max_context,
            total_blocks=facts.total_blocks,
            block_size=facts.block_size,
            fingerprint=facts.fingerprint,
        )
