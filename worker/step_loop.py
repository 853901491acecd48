"""The engine process's one thread: mail in, plan, launch, result, commit, mail out, for ever.

This file reads the process's own clock; everything it drives is told the time.
"""

from __future__ import annotations

import time

from protocol.limits import Limits
from protocol.mail import EngineOutbox, Stop
from worker.launched_steps import LaunchedSteps
from worker.mail_pipe import MailPipe
from worker.step_core import StepCore

SHORT_S = 0.002
"""Mail that comes within so short a step waits for its end."""


class StepLoop:
    """Drives a core. worker/inline_host.py has the same loop for an event loop."""

    def __init__(self, core: StepCore, pipe: MailPipe, limits: Limits) -> None:
        self._core = core
        self._launched = LaunchedSteps(core)
        self._pipe = pipe
        self._report_every_s = limits.report_every_s
        self._sent_at = time.monotonic()
        self._stopping = False

    def stop(self) -> None:
        """Ends `run` after the current step. Safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Until Stop or `stop`. Raises what the core raises, and WorkerLost if the I/O process
        is gone or hangs."""
        worked = False
        while self._hear():
            stepped = self._step()
            if not stepped:
                if worked:
                    self._core.check()
                self._pipe.wait(self._core.idle_wait_s(time.monotonic()))
            worked = stepped
        while self._launched:
            self._commit()
        self._send(self._core.take_outbox())

    def _hear(self) -> bool:
        """Takes mail until the next step is to be planned; false when the engine is to end."""
        going = self._deliver()
        if going and self._launched.early_s(time.monotonic()) > 0:
            self._send(self._core.take_outbox())  # or it would leave only with the next step
        while going and (early_s := self._launched.early_s(time.monotonic())) > 0:
            going = self._attend(early_s)
        return going

    def _attend(self, seconds: float) -> bool:
        """Mail is answered and transfers move beside a step, until mail came or `seconds` are over; false
        when the engine is to end."""
        going = True
        if self._pipe.wait(min(seconds, self._core.idle_wait_s(time.monotonic()))):
            going = self._deliver()
        self._core.attend(time.monotonic())
        self._send(self._core.take_outbox())
        return going

    def _deliver(self) -> bool:
        """Gives the core its mail; false when the engine is to end."""
        batch = self._pipe.drain()
        self._stopping |= any(isinstance(mail, Stop) for mail in batch)
        self._core.deliver([mail for mail in batch if not isinstance(mail, Stop)], time.monotonic())
        if self._stopping:
            self._send(self._core.take_outbox())
        return not self._stopping

    def _step(self) -> bool:
        """Launches one step, if there is one to take, and commits the oldest, unless the core looks
        further ahead. What there is to say leaves before a step, which may be long: answers to mail, and
        the tokens of the step before, for to plan takes less time than the other process to wake up twice."""
        step = self._core.plan(time.monotonic())
        self._send(self._core.take_outbox())
        if step is not None:
            self._launched.launch(step, time.monotonic())
        if self._launched and (step is None or self._launched.enough):
            self._commit()
            return True
        return step is not None

    def _commit(self) -> None:
        """Waits for the oldest step."""
        while (remaining_s := self._launched.remaining_s(time.monotonic())) > 0:
            self._wait(remaining_s)
        oldest = self._launched.take(time.monotonic())
        self._core.commit(oldest.step, oldest.pending.result(), time.monotonic())

    def _wait(self, seconds: float) -> None:
        """A modelled step lasts as long as a real one would. Where it stands for one on a device, which
        leaves this thread free, mail is answered meanwhile."""
        if not self._core.lookahead or seconds < SHORT_S:
            time.sleep(seconds)
        else:
            self._attend(seconds - SHORT_S)

    def _send(self, batch: list[EngineOutbox]) -> None:
        """One batch; an empty one only as a sign of life."""
        now = time.monotonic()
        if batch or now - self._sent_at >= self._report_every_s:
            self._sent_at = now
            self._pipe.send(batch)
