"""A worker's place: one life after another, as a supervisor keeps it."""

from __future__ import annotations

import asyncio

from protocol.clock import LoopClock
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from tests.simulation.life import Life, Surroundings
from tests.simulation.node_clock import NodeClock
from tests.simulation.scenario import Fault

RESTART_S = 0.5
"""After an end that nobody planned."""


class Node:
    """Each life has empty memory and an incarnation of its own."""

    def __init__(self, name: str, role: str, offset: float, around: Surroundings, port: int = 0) -> None:
        """`port`: where every life listens; 0: each on a fresh one."""
        self.name = name
        self.role = role
        self._port = port
        self._node_clock = NodeClock(offset)
        self._around = around
        self._lives = 0
        self._clock = LoopClock()
        self._keeper: asyncio.Task[None] | None = None
        self._downtime_s = RESTART_S
        self._began = asyncio.Event()
        self.life: Life | None = None
        self.faults: list[str] = []
        """Lives that a bug ended."""

    async def start(self) -> None:
        """The first life, and from then on a new one after each end."""
        self._keeper = asyncio.create_task(self._keep())
        await self._began.wait()

    def jump(self, seconds: float) -> None:
        """The machine's clock is later at once."""
        self._node_clock.jump(seconds)

    def end_life(self, fault: Fault, downtime_s: float) -> None:
        """One of the ways to die; the next life begins `downtime_s` after the end."""
        life = self.life
        if life is None:
            return
        self._downtime_s = downtime_s
        if fault is Fault.RETIRE:
            life.retire()
        elif fault is Fault.CRASH:
            life.crash()
        else:
            life.end_engine()

    async def stop(self) -> None:
        """An orderly end without another life."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.life is not None:
            await self.life.stop()
            self.life = None

    async def _keep(self) -> None:
        while True:
            self._lives += 1
            identity = WorkerIdentity(WorkerId(self.name), self._incarnation())
            life = Life(identity, self.role, self._port, self._node_clock, self._around)
            await life.start()
            self.life = life
            self._began.set()
            await life.over()
            self.life = None
            if life.fault:
                self.faults.append(f"{self.name} ended by itself: {life.fault}")
            await self._clock.sleep(self._downtime_s)
            self._downtime_s = RESTART_S

    def _incarnation(self) -> Incarnation:
        return Incarnation(f"{self.name}.{self._lives}")
