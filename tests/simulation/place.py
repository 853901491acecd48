"""Where a gateway runs: one gateway after another, each with clients of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from gateway.fleet import Fleet
from gateway.service import Gateway
from protocol.clock import LoopClock
from protocol.ids import TransferId
from protocol.messages import WIRE_VERSION, Hello
from protocol.request import Request
from router.load_router import LoadRouter
from tests.simulation.client import Outcome, ask
from tests.simulation.node import Surroundings


class GatewayPlace:
    """A gateway's place: it survives the gateway."""

    def __init__(
        self, name: str, dice: random.Random, around: Surroundings, on_replan: Callable[[], None]
    ) -> None:
        self.name = name
        self._dice = dice
        self._around = around
        self._on_replan = on_replan
        self._lives = 0
        self._clients: list[asyncio.Task[Outcome]] = []
        self._fleet: Fleet | None = None
        self._gateway: Gateway | None = None

    async def start(self) -> None:
        """A fresh gateway that knows nothing."""
        self._lives += 1
        limits = self._around.limits
        hello = Hello(WIRE_VERSION, "gateway", self.name, str(self._lives))
        clock = LoopClock(self._dice.random() * 1e6)
        dialer = self._around.network.dialer(hello, clock, limits)
        self._fleet = Fleet(self._around.directory, dialer, clock, limits)
        router = LoadRouter(limits.max_reserved_wait_s)
        self._gateway = Gateway(self._fleet, router, clock, limits, self._transfer, self._on_replan)
        await self._fleet.start()

    async def replace(self) -> None:
        """The gateway dies: its clients' connections break, its peers hear nothing; a new one starts."""
        self._around.network.sever(self.name)
        for client in self._clients:
            client.cancel()
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """Ends the gateway's links."""
        if self._fleet is not None:
            await self._fleet.stop()

    @property
    def gateway(self) -> Gateway:
        """The one that is there now."""
        if self._gateway is None:
            raise RuntimeError("the place has no gateway yet")
        return self._gateway

    async def answer(self, request: Request, leave_after: int | None) -> Outcome:
        """One client of the gateway that is there now."""
        client = asyncio.create_task(ask(self.gateway, request, leave_after))
        self._clients = [task for task in self._clients if not task.done()] + [client]
        return await client

    def _transfer(self) -> TransferId:
        return TransferId(f"{self._dice.getrandbits(128):032x}")
