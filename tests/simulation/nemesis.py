"""Carries out the faults of a scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from protocol.clock import LoopClock
from protocol.errors import DeadlineExceeded
from tests.simulation.directory_outage import DirectoryOutage
from tests.simulation.node import Node
from tests.simulation.place import GatewayPlace
from tests.simulation.scenario import Fault, Strike
from tests.simulation.weather import Weather


class Nemesis:
    """Strikes as scheduled; stopping it leaves the damage for the world to heal."""

    def __init__(
        self,
        strikes: Sequence[Strike],
        nodes: list[Node],
        gateways: list[GatewayPlace],
        weather: Weather,
        outage: DirectoryOutage,
    ) -> None:
        self._strikes = strikes
        self._nodes = nodes
        self._gateways = gateways
        self._weather = weather
        self._outage = outage
        self._clock = LoopClock()
        self._task: asyncio.Task[None] | None = None
        self._running: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()

    @property
    def struck(self) -> int:
        """Faults so far: the first ones of the schedule."""
        return len(self._running)

    def start(self) -> None:
        """The schedule begins now."""
        self._task = asyncio.create_task(self._follow(self._clock.now()))

    async def stop(self) -> None:
        """No new fault from now on, and those that last are left to the world to heal; only a gateway
        that is being replaced is waited for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._stopped.set()
        for running in self._running:
            await running

    async def _last(self, seconds: float) -> None:
        """Returns after `seconds`, or when faults are over."""
        try:
            async with self._clock.deadline(seconds):
                await self._stopped.wait()
        except DeadlineExceeded:
            return

    async def _follow(self, began: float) -> None:
        for strike in self._strikes:
            await self._clock.sleep(began + strike.at - self._clock.now())
            self._running.append(asyncio.create_task(self._strike(strike)))

    async def _strike(self, strike: Strike) -> None:
        match strike.fault:
            case Fault.CRASH | Fault.ENGINE_DEATH | Fault.RETIRE:
                self._end_a_life(strike)
            case Fault.FREEZE | Fault.SLOW:
                await self._hamper(strike)
            case Fault.JUMP:
                self._nodes[strike.who].jump(strike.for_s)
            case Fault.CUT:
                names = [node.name for node in self._nodes] + [place.name for place in self._gateways]
                until = self._clock.now() + strike.for_s
                self._weather.cut(names[strike.who], names[strike.other], until)
            case Fault.GATEWAY_CRASH:
                await self._gateways[strike.who].replace()
            case Fault.GATEWAY_JUMP:
                self._gateways[strike.who].jump(strike.for_s)
            case Fault.DIRECTORY_AWAY:
                self._outage.begin()
                await self._last(strike.for_s)
                self._outage.end()

    def _end_a_life(self, strike: Strike) -> None:
        """Of the worker that was meant, or of the next one that lives."""
        count = len(self._nodes)
        for offset in range(count):
            node = self._nodes[(strike.who + offset) % count]
            if node.life is not None:
                node.end_life(strike.fault, strike.for_s)
                return

    async def _hamper(self, strike: Strike) -> None:
        node = self._nodes[strike.who]
        life = node.life
        if life is None:
            return
        if strike.fault is Fault.FREEZE:
            life.freeze()
            await self._last(strike.for_s)
            life.thaw()
        else:
            life.drag()
            self._weather.slow(node.name, self._clock.now() + strike.for_s)
            await self._last(strike.for_s)
            life.hasten()
