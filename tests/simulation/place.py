"""Where a gateway runs: one gateway after another, each with clients of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from gateway.fleet import Fleet
from gateway.service import Gateway
from protocol.clock import LoopClock
from protocol.ids import TransferId
from protocol.links.link import Dialer
from protocol.messages import WIRE_VERSION, Hello
from protocol.request import Request
from router.joint_router import JointRouter
from router.outlook import Outlook
from router.prefix_index import IndexLimits
from router.slo import Slo
from tests.simulation.client import Outcome, ask
from tests.simulation.life import Surroundings
from tests.simulation.node_clock import NodeClock
from tests.simulation.rumours import Rumours

KNOCK_S = 0.05
SMALL_INDEX = IndexLimits(max_blocks=1 << 16, max_workers=64, max_sets=1 << 12)
HANG_S = 60.0
"""Beyond its deadline nobody waits longer for an answer; the verdict on such an answer is "too late"."""


class GatewayPlace:
    """A gateway's place: it survives the gateway."""

    def __init__(
        self, name: str, dice: random.Random, around: Surroundings, on_replan: Callable[[], None]
    ) -> None:
        self.name = name
        self._dice = dice
        self._rumour_dice = random.Random(f"{name}/{dice.random()}")
        self._around = around
        self._on_replan = on_replan
        self._lives = 0
        self._clients: list[asyncio.Task[Outcome]] = []
        self._node_clock = NodeClock(dice.random() * 1e6)
        self._fleet: Fleet | None = None
        self._gateway: Gateway | None = None

    async def start(self) -> None:
        """A fresh gateway that knows nothing."""
        self._lives += 1
        limits = self._around.limits
        hello = Hello(WIRE_VERSION, "gateway", self.name, str(self._lives))
        clock = self._node_clock
        dialer: Dialer = self._around.network.dialer(hello, clock, limits)
        if self._around.profile.rumours:
            dialer = Rumours(dialer, self._rumour_dice, self._around.profile.rumours)
        outlook = Outlook(SMALL_INDEX)
        self._fleet = Fleet(self._around.directory, dialer, clock, limits, outlook)
        router = JointRouter(outlook, Slo(), limits.max_reserved_wait_s, local=self._around.profile.local)
        self._gateway = Gateway(self._fleet, router, clock, limits, self._transfer, self._on_replan)
        await self._fleet.start()

    def jump(self, seconds: float) -> None:
        """The machine's clock is later at once."""
        self._node_clock.jump(seconds)

    async def replace(self) -> None:
        """The gateway dies: its clients' connections break, its peers hear nothing; a new one starts."""
        self._around.network.sever(self.name)
        self._gateway = None
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

    async def answer(
        self, request: Request, leave_after: int | None, leave_after_s: float | None = None
    ) -> Outcome:
        """One client of the gateway that is there now; it leaves after so many tokens, or seconds."""
        while self._gateway is None:
            await LoopClock().sleep(KNOCK_S)
        client = asyncio.create_task(ask(self._gateway, request, leave_after))
        self._clients = [task for task in self._clients if not task.done()] + [client]
        patience_s = request.timeout_s + HANG_S if leave_after_s is None else leave_after_s
        asyncio.get_running_loop().call_later(patience_s, client.cancel)
        return await client

    def leftovers(self) -> list[str]:
        """What the gateway still holds when nobody asks anything."""
        found = []
        if self._gateway is not None and self._gateway.open_requests:
            found.append(f"{self.name} still has {self._gateway.open_requests} open requests")
        for link in self._fleet.links() if self._fleet is not None else ():
            if link.desk.open_requests or link.desk.open_tokens:
                found.append(f"{self.name} still has attempts open at {link.record.worker}")
        return found

    def _transfer(self) -> TransferId:
        return TransferId(f"{self._dice.getrandbits(128):032x}")
