"""An engine driven by the event loop: deterministic under a virtual clock, no thread, no process."""

from __future__ import annotations

import asyncio
import logging

from protocol.bell import Bell
from protocol.clock import Clock
from protocol.errors import DeadlineExceeded, Overloaded, WorkerLost, error_from_code
from protocol.limits import Limits
from protocol.mail import EngineFacts, EngineInbox, EngineOutbox, Inbound, Stop
from worker.engine_host import fatal_of
from worker.launched_steps import LaunchedSteps
from worker.step_core import CoreFactory, StepCore

logger = logging.getLogger(__name__)


class InlineHost:
    """EngineHost whose step loop is one task. A step takes `pending.seconds` of the clock."""

    def __init__(self, core_factory: CoreFactory, clock: Clock, limits: Limits) -> None:
        self._core_factory = core_factory
        self._clock = clock
        self._limits = limits
        self._core: StepCore | None = None
        self._task: asyncio.Task[None] | None = None
        self._inbox: list[EngineInbox] = []
        self._outbox: list[list[EngineOutbox]] = []
        self._mail_in = Bell()
        self._mail_out = Bell()
        self._gone = asyncio.Event()
        self._sent_at = 0.0
        self._end: str | None = "the engine was not started"
        """Why it is not running; None while it is."""

    async def start(self, deadline_s: float) -> EngineFacts:
        """Builds the core and starts the loop; the inline core is built without waiting."""
        try:
            core = self._core_factory()
            facts = core.facts()
        except Exception as error:
            fatal = fatal_of(error)
            raise error_from_code(fatal.code, fatal.message) from error
        self._core = core
        self._end = None
        self._task = asyncio.get_running_loop().create_task(self._run(core))
        return facts

    def post(self, mail: EngineInbox) -> None:
        """Hands over mail."""
        if self._end is not None:
            raise WorkerLost(self._end)
        if isinstance(mail, Inbound) and len(self._inbox) >= self._limits.max_link_backlog:
            raise Overloaded(f"{len(self._inbox)} messages wait for the engine")
        self._inbox.append(mail)
        self._mail_in.ring()

    async def receive(self) -> list[EngineOutbox]:
        """The next batch."""
        while not self._outbox:
            if self._end is not None:
                raise WorkerLost(self._end)
            await self._mail_out.wait()
        return self._outbox.pop(0)

    async def stop(self, grace_s: float) -> None:
        """Ends the loop after its current step."""
        if self._end is not None:
            return
        if grace_s <= 0:  # by force: an engine that is frozen hears nothing
            self.kill()
            return
        self.post(Stop())
        try:
            async with self._clock.deadline(grace_s):
                await self._gone.wait()
        except DeadlineExceeded:
            self.kill()

    def kill(self) -> None:
        """The engine process dies here and now: nothing more is computed, sent or read.
        Its memory goes with it, so reads of its KV fail from now on."""
        if self._end is not None or self._task is None or self._core is None:
            return
        self._task.cancel()
        self._inbox.clear()
        self._outbox.clear()
        self._ended("the engine was killed")
        self._core.close()

    async def _run(self, core: StepCore) -> None:
        """The life of the engine, as worker/step_loop.py has it for a process."""
        try:
            await self._steps(core)
            end = "the engine was stopped"
        except Exception as error:
            logger.exception("the engine failed")
            self._send([fatal_of(error)], self._clock.now())
            end = f"the engine failed: {error}"
        self._ended(end)
        self._mail_in.rest()
        core.close()

    async def _steps(self, core: StepCore) -> None:
        worked = False
        launched = LaunchedSteps(core)
        while await self._hear(core, launched):
            now = self._clock.now()
            step = core.plan(now)
            self._send(core.take_outbox(), now)
            if step is not None:
                launched.launch(step, now)
            stepped = step is not None or len(launched) > 0
            if launched and (step is None or launched.enough):
                await self._commit(core, launched)
            elif not stepped:
                if worked:
                    core.check()
                if not self._inbox:
                    await self._clock.heard(self._mail_in, core.idle_wait_s(now))
            worked = stepped
        while launched:
            await self._commit(core, launched)
        self._send(core.take_outbox(), self._clock.now())

    async def _hear(self, core: StepCore, launched: LaunchedSteps) -> bool:
        """Takes mail until the next step is to be planned; false when the engine is to end."""
        going = self._deliver(core, now := self._clock.now())
        if going and launched.early_s(now) > 0:
            self._send(core.take_outbox(), now)
        while going and (early_s := launched.early_s(now := self._clock.now())) > 0:
            if not self._inbox:
                await self._clock.heard(self._mail_in, min(early_s, core.idle_wait_s(now)))
            now = self._clock.now()
            going = self._deliver(core, now)
            core.attend(now)
            self._send(core.take_outbox(), now)
        return going

    async def _commit(self, core: StepCore, launched: LaunchedSteps) -> None:
        """Waits for the oldest step."""
        await self._clock.sleep(launched.remaining_s(self._clock.now()))
        now = self._clock.now()
        oldest = launched.take(now)
        core.commit(oldest.step, oldest.pending.result(), now)

    def _deliver(self, core: StepCore, now: float) -> bool:
        """Gives the core its mail; false when the engine is to end."""
        batch, self._inbox = self._inbox, []
        core.deliver([mail for mail in batch if not isinstance(mail, Stop)], now)
        if not any(isinstance(mail, Stop) for mail in batch):
            return True
        self._send(core.take_outbox(), now)
        return False

    def _send(self, batch: list[EngineOutbox], now: float) -> None:
        """One batch; an empty one only as a sign of life."""
        if not batch and now - self._sent_at < self._limits.report_every_s:
            return
        if len(self._outbox) >= self._limits.max_link_backlog:
            raise WorkerLost("nobody reads what the engine says")
        self._sent_at = now
        self._outbox.append(batch)
        self._mail_out.ring()

    def _ended(self, why: str) -> None:
        self._end = why
        self._mail_out.ring()
        self._gone.set()
