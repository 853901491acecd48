"""One simulated cluster under load and faults, from one seed to one verdict."""

from __future__ import annotations

import asyncio
import random
import zlib
from dataclasses import dataclass

from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.read_fate import DrawnFates
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.ids import RequestId
from protocol.links.memory import MemoryNetwork
from protocol.request import Request
from protocol.sampling import Sampling
from protocol.virtual_loop import run_virtual
from tests.simulation.client import Outcome
from tests.simulation.directory_outage import DirectoryOutage
from tests.simulation.nemesis import Nemesis
from tests.simulation.node import VOCABULARY, Node, Surroundings
from tests.simulation.place import GatewayPlace
from tests.simulation.profile import Profile
from tests.simulation.weather import Weather

SETTLE_S = 45.0
"""After the faults end: longer than lease, silence, quarantine and every deadline of a peer."""
HELD = ("request", "pinned", "dest", "quarantine")


@dataclass(frozen=True, slots=True)
class Report:
    """What one seed showed."""

    seed: int
    outcomes: tuple[Outcome, ...]
    complaints: tuple[str, ...]
    strikes: int
    replans: int
    trace: int
    """CRC of everything a client saw, and when: equal seeds give equal traces."""

    @property
    def stayed(self) -> int:
        """Clients that did not leave by themselves."""
        return sum(not outcome.left for outcome in self.outcomes)

    @property
    def complete(self) -> int:
        """Clients that got their full answer."""
        return sum(outcome.finish is not None for outcome in self.outcomes)


class World:
    """Everything of one run."""

    def __init__(self, seed: int, profile: Profile) -> None:
        self._dice = random.Random(seed)
        self._seed = seed
        self._profile = profile
        self._clock = LoopClock()
        self._weather = Weather(random.Random(seed + 1), profile)
        network = MemoryNetwork(self._clock, self._weather)
        fabric = MemoryFabric(DrawnFates(random.Random(seed + 2).random, profile.reads))
        self._outage = DirectoryOutage(MemoryDirectory(self._clock))
        self._around = Surroundings(network, fabric, self._outage, profile.limits, profile)
        self._nodes = [self._node("prefill", i) for i in range(profile.prefills)]
        self._nodes += [self._node("decode", i) for i in range(profile.decodes)]
        self._gateways = [self._place(i) for i in range(profile.gateways)]
        self._nemesis = Nemesis(
            random.Random(seed + 3), profile, self._nodes, self._gateways, self._weather, self._outage
        )
        self._replans = 0

    async def run(self) -> Report:
        """Load and faults, then healing, then the accounts."""
        for node in self._nodes:
            await node.start()
        for place in self._gateways:
            await place.start()
        await self._clock.sleep(1.0)
        self._nemesis.start()
        clients = [asyncio.create_task(self._client(i)) for i in range(self._profile.requests)]
        outcomes = [await client for client in clients]
        await self._nemesis.stop()
        complaints = [outcome.complaint() for outcome in outcomes]
        complaints += await self._heal()
        for place in self._gateways:
            await place.stop()
        for node in self._nodes:
            await node.stop()
        return self._report(outcomes, [one for one in complaints if one])

    async def _heal(self) -> list[str]:
        """No fault any more: whoever is missing comes back, and all must be as new."""
        self._weather.heal()
        self._outage.end()
        for node in self._nodes:
            if node.life is None:
                await node.start()
            else:
                node.life.thaw()
        await self._clock.sleep(SETTLE_S)
        complaints = [complaint for node in self._nodes for complaint in self._accounts(node)]
        fresh = [self._request(1000 + i) for i in range(4)]
        answers = [await self._gateways[0].answer(request, None) for request in fresh]
        for answer in answers:
            complaints.append(answer.complaint())
            if answer.finish is None:
                complaints.append(f"after healing, {answer.request.id} failed: {answer.error}")
        return complaints

    def _accounts(self, node: Node) -> list[str]:
        if node.life is None or node.life.engine is None:
            return [f"{node.name} is not back"]
        engine = node.life.engine
        engine.check()
        counts = {kind.value: count for kind, count in engine.pool.counts().items()}
        return [f"{node.name} still holds {counts[kind]} {kind} blocks" for kind in HELD if counts[kind]]

    async def _client(self, number: int) -> Outcome:
        request = self._request(number)
        at = self._dice.random() * self._profile.over_s
        leaves = self._dice.random() < self._profile.disconnects
        leave_after = self._dice.randrange(1, 8) if leaves else None
        gateway = self._dice.choice(self._gateways)
        await self._clock.sleep(at)
        return await gateway.answer(request, leave_after)

    def _request(self, number: int) -> Request:
        shared = self._dice.choice((0, 8, 17))
        own = self._dice.randrange(1, 60)
        prompt = tuple(range(shared)) + tuple(self._dice.randrange(VOCABULARY) for _ in range(own))
        temperature = self._dice.choice((0.0, 0.8))
        sampling = Sampling(seed=self._dice.getrandbits(64), temperature=temperature)
        return Request(
            id=RequestId(f"r{number}"),
            model="modelled",
            prompt=prompt,
            sampling=sampling,
            max_tokens=self._dice.randrange(1, self._profile.max_tokens),
            stop_tokens=self._dice.choice(((), tuple(range(50)))),
            timeout_s=self._profile.timeout_s,
        )

    def _node(self, role: str, number: int) -> Node:
        return Node(f"{role}-{number}", role, self._dice.random() * 1e6, self._around)

    def _place(self, number: int) -> GatewayPlace:
        dice = random.Random(self._seed * 31 + number)
        return GatewayPlace(f"gateway-{number}", dice, self._around, self._count_replan)

    def _count_replan(self) -> None:
        self._replans += 1

    def _report(self, outcomes: list[Outcome], complaints: list[str]) -> Report:
        seen = [(o.request.id, o.tokens, o.error, round(o.seconds, 9)) for o in outcomes]
        trace = zlib.crc32(repr(seen).encode())
        return Report(
            self._seed, tuple(outcomes), tuple(complaints), self._nemesis.strikes, self._replans, trace
        )


async def _live(seed: int, profile: Profile) -> Report:
    return await World(seed, profile).run()


def run_seed(seed: int, profile: Profile) -> Report:
    """One run on a virtual clock. Raises Stuck if the cluster deadlocks."""
    return run_virtual(_live(seed, profile))
