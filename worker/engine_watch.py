"""Finds a frozen engine: one that lives and says nothing, with a step begun or not."""

from __future__ import annotations

import logging

from protocol.clock import Clock
from protocol.errors import EngineFailed
from protocol.ids import AttemptKey
from protocol.limits import Limits
from protocol.mail import Begun
from worker.engine_host import EngineHost

logger = logging.getLogger(__name__)


class EngineWatch:
    """Stands beside one engine from its first word to its end. It never judges an engine that starts."""

    def __init__(self, host: EngineHost, clock: Clock, limits: Limits) -> None:
        self._host = host
        self._clock = clock
        self._limits = limits
        self._begun = Begun((), 0.0)
        self._silent_s = 0.0
        self.verdict: EngineFailed | None = None
        """Why it was ended; None if it was not."""

    @property
    def suspects(self) -> tuple[AttemptKey, ...]:
        """Everyone in the steps that were begun last."""
        return self._begun.suspects

    def heard(self) -> None:
        """The engine said something."""
        self._silent_s = 0.0

    def begun(self, news: Begun) -> None:
        """What it computes from now on."""
        self._begun = news

    async def run(self) -> None:
        """Returns when the engine was frozen and has been ended by force.

        Between steps an engine speaks every `report_every_s`. Silence is counted in pieces of that
        length, so that a pause of this process is not taken for one of the engine.
        """
        piece_s = self._limits.report_every_s
        while self._silent_s < self._limits.patience_s(self._begun.predicted_s):
            await self._clock.sleep(piece_s)
            self._silent_s += piece_s
        self.verdict = EngineFailed(f"the engine said nothing for {self._silent_s:.1f} s: it is frozen")
        logger.error("%s", self.verdict.message)
        await self._host.stop(0.0)
