"""A whole simulated cluster without weather: real gateway, workers and engines, for one promise at a time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.service import Gateway
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.read_fate import DrawnFates
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.ids import RequestId
from protocol.links.faults import SteadyNetwork
from protocol.links.memory import MemoryNetwork
from protocol.request import Request
from protocol.sampling import Sampling
from protocol.virtual_loop import run_virtual
from tests.simulation.client import Outcome
from tests.simulation.life import Surroundings
from tests.simulation.node import Node
from tests.simulation.place import GatewayPlace
from tests.simulation.poison import POISON
from tests.simulation.profile import Profile

PROFILE = Profile(blocks=160)
HELD = ("request", "pinned", "dest", "quarantine")


class SmallCluster:
    """To be made inside a running loop."""

    def __init__(self, prefills: int, decodes: int, profile: Profile, gateways: int = 1) -> None:
        self.clock = LoopClock()
        self.replans = 0
        fabric = MemoryFabric(DrawnFates(random.Random(1).random, profile.reads))
        network = MemoryNetwork(self.clock, SteadyNetwork())
        self.directory = MemoryDirectory(self.clock)
        around = Surroundings(network, fabric, self.directory, profile.limits, profile)
        self.nodes = [Node(f"prefill-{i}", "prefill", 0.0, around) for i in range(prefills)]
        self.nodes += [Node(f"decode-{i}", "decode", 0.0, around) for i in range(decodes)]
        self.places = [
            GatewayPlace(f"gateway-{i}", random.Random(2 + i), around, self._count) for i in range(gateways)
        ]

    @property
    def gateway(self) -> Gateway:
        """The first, as it is now."""
        return self.places[0].gateway

    def node(self, name: str) -> Node:
        """One of them."""
        return next(node for node in self.nodes if node.name == name)

    async def drain(self, name: str, finish_s: float) -> None:
        """A worker leaves, and a new life of it follows."""
        node = self.node(name)
        life = node.life
        if life is None:
            raise RuntimeError(f"{name} does not live")
        await life.server.drain(finish_s)
        await life.stop()
        while node.life in (None, life):
            await self.clock.sleep(0.1)

    def held(self) -> list[str]:
        """Nodes with the kinds of blocks that somebody holds there."""
        found = []
        for node in self.nodes:
            if node.life is not None and node.life.engine is not None:
                node.life.engine.check()
                counts = {kind.value: count for kind, count in node.life.engine.pool.counts().items()}
                found += [f"{node.name} {kind} {counts[kind]}" for kind in HELD if counts[kind]]
        return found

    async def ask(
        self,
        name: str,
        prompt: tuple[int, ...],
        max_tokens: int = 40,
        leave_after: int | None = None,
        gateway: int = 0,
    ) -> Outcome:
        """One client."""
        return await self.places[gateway].answer(ask(name, prompt, max_tokens), leave_after)

    def _count(self) -> None:
        self.replans += 1


def ask(
    name: str, prompt: tuple[int, ...], max_tokens: int = 40, timeout_s: float = 60.0, tenant: str = "default"
) -> Request:
    """A request of the cluster's model."""
    return Request(
        RequestId(name), "modelled", prompt, Sampling(seed=1), max_tokens, tenant=tenant, timeout_s=timeout_s
    )


def prompts(count: int, length: int = 30) -> list[tuple[int, ...]]:
    """Prompts that share nothing, none of them deadly."""
    dice = random.Random(3)
    return [tuple(dice.randrange(POISON) for _ in range(length)) for _ in range(count)]


@asynccontextmanager
async def small_cluster(
    prefills: int, decodes: int, profile: Profile, gateways: int = 1
) -> AsyncIterator[SmallCluster]:
    """Everybody is linked when the body begins, and everybody is as new a minute after it."""
    made = SmallCluster(prefills, decodes, profile, gateways)
    for node in made.nodes:
        await node.start()
    for place in made.places:
        await place.start()
    await made.clock.sleep(1.0)
    yield made
    await made.clock.sleep(60.0)
    assert made.held() == []
    for node in made.nodes:
        await node.stop()
    for place in made.places:
        await place.stop()


def play(
    act: Callable[[SmallCluster], Awaitable[None]],
    prefills: int,
    decodes: int,
    profile: Profile = PROFILE,
    gateways: int = 1,
) -> None:
    """Runs one act on virtual time."""

    async def run() -> None:
        async with small_cluster(prefills, decodes, profile, gateways) as made:
            await act(made)

    run_virtual(run())
