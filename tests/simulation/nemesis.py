"""Everything that goes wrong with nodes: each kind of fault strikes at drawn moments."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from protocol.clock import LoopClock
from tests.simulation.directory_outage import DirectoryOutage
from tests.simulation.node import Node
from tests.simulation.place import GatewayPlace
from tests.simulation.profile import Profile
from tests.simulation.weather import Weather

Strike = Callable[[], Awaitable[None]]


class Nemesis:
    """One task for each kind of fault; stopping it leaves the damage for the world to heal."""

    def __init__(
        self,
        dice: random.Random,
        profile: Profile,
        nodes: list[Node],
        gateways: list[GatewayPlace],
        weather: Weather,
        outage: DirectoryOutage,
    ) -> None:
        self._dice = dice
        self._profile = profile
        self._nodes = nodes
        self._gateways = gateways
        self._weather = weather
        self._outage = outage
        self._clock = LoopClock()
        self._tasks: list[asyncio.Task[None]] = []
        self._running: list[asyncio.Future[None]] = []
        self.strikes = 0

    def start(self) -> None:
        """Begins."""
        rates: tuple[tuple[float, Strike], ...] = (
            (self._profile.crash_every_s, self._crash),
            (self._profile.cut_every_s, self._cut),
            (self._profile.freeze_every_s, self._freeze),
            (self._profile.gateway_crash_every_s, self._crash_gateway),
            (self._profile.directory_away_every_s, self._lose_directory),
        )
        self._tasks = [asyncio.create_task(self._often(every, act)) for every, act in rates if every]

    async def stop(self) -> None:
        """No new fault from now on; those that have begun run to their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*self._running)

    async def _often(self, every_s: float, strike: Strike) -> None:
        while True:
            await self._clock.sleep(self._dice.expovariate(1.0 / every_s))
            self.strikes += 1
            self._running.append(asyncio.ensure_future(strike()))
            await asyncio.shield(self._running[-1])

    async def _crash(self) -> None:
        """A node, or only its engine, dies and comes back a little later."""
        node = self._dice.choice(self._nodes)
        if node.life is not None:
            node.crash() if self._dice.random() < 0.5 else node.end_engine()
            await self._clock.sleep(self._dice.random() * 2.0)
            await node.start()

    async def _cut(self) -> None:
        """Two nodes lose sight of each other; reads of KV go on."""
        names = [node.name for node in self._nodes] + [place.name for place in self._gateways]
        one, other = self._dice.sample(names, 2)
        until = self._clock.now() + self._dice.random() * 6.0
        self._weather.cut(one, other, until)

    async def _freeze(self) -> None:
        """An engine stops and goes on."""
        node = self._dice.choice(self._nodes)
        life = node.life
        if life is not None:
            life.freeze()
            await self._clock.sleep(self._dice.random() * 6.0)
            life.thaw()

    async def _crash_gateway(self) -> None:
        """A gateway dies with all its clients' connections; another takes its place."""
        await self._dice.choice(self._gateways).replace()

    async def _lose_directory(self) -> None:
        self._outage.begin()
        await self._clock.sleep(self._dice.random() * 5.0)
        self._outage.end()
