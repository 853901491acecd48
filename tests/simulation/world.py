"""One simulated cluster under load and faults, from one seed to one verdict."""

from __future__ import annotations

import asyncio
import random
import zlib
from dataclasses import dataclass

from gateway.fleet import Fleet
from gateway.service import Gateway
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.read_fate import DrawnFates
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.ids import RequestId, TransferId
from protocol.links.faults import FaultyNetwork, SteadyNetwork
from protocol.links.memory import MemoryNetwork
from protocol.messages import WIRE_VERSION, Hello
from protocol.request import Request
from protocol.sampling import Sampling
from protocol.virtual_loop import run_virtual
from router.load_router import LoadRouter
from tests.simulation.client import Outcome, ask
from tests.simulation.node import VOCABULARY, Node, Surroundings
from tests.simulation.profile import Profile

SETTLE_S = 45.0
"""After the faults end: longer than lease, silence, quarantine and every deadline of a peer."""
HELD = ("request", "pinned", "dest", "quarantine")


class Weather:
    """Network faults that can be switched off: after that the run must heal."""

    def __init__(self, dice: random.Random, profile: Profile) -> None:
        self._bad = FaultyNetwork(dice, profile.loss, profile.doubling, 0.0005, profile.jitter_s)
        self._good = SteadyNetwork()
        self.healed = False

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """Of one packet."""
        return (self._good if self.healed else self._bad).fate(sender, receiver, now)


@dataclass(frozen=True, slots=True)
class Report:
    """What one seed showed."""

    seed: int
    outcomes: tuple[Outcome, ...]
    complaints: tuple[str, ...]
    crashes: int
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
        self._limits = profile.limits
        self._clock = LoopClock()
        self._weather = Weather(random.Random(seed + 1), profile)
        network = MemoryNetwork(self._clock, self._weather)
        fabric = MemoryFabric(DrawnFates(random.Random(seed + 2).random, profile.reads))
        directory = MemoryDirectory(self._clock)
        self._around = Surroundings(network, fabric, directory, self._limits, profile)
        self._nodes = [self._node("prefill", i) for i in range(profile.prefills)]
        self._nodes += [self._node("decode", i) for i in range(profile.decodes)]
        self._fleets: list[Fleet] = []
        self._gateways = [self._gateway(i) for i in range(profile.gateways)]
        self._crashes = 0
        self._replans = 0

    async def run(self) -> Report:
        """Load and faults, then healing, then the accounts."""
        for node in self._nodes:
            await node.start()
        for fleet in self._fleets:
            await fleet.start()
        await self._clock.sleep(1.0)
        nemesis = asyncio.create_task(self._nemesis())
        clients = [asyncio.create_task(self._client(i)) for i in range(self._profile.requests)]
        outcomes = [await client for client in clients]
        nemesis.cancel()
        await asyncio.gather(nemesis, return_exceptions=True)
        complaints = [outcome.complaint() for outcome in outcomes]
        complaints += await self._heal()
        for fleet in self._fleets:
            await fleet.stop()
        for node in self._nodes:
            await node.stop()
        return self._report(outcomes, [one for one in complaints if one])

    async def _heal(self) -> list[str]:
        """No fault any more: whoever is missing comes back, and all must be as new."""
        self._weather.healed = True
        for node in self._nodes:
            if node.life is None:
                await node.start()
        await self._clock.sleep(SETTLE_S)
        complaints = [complaint for node in self._nodes for complaint in self._accounts(node)]
        fresh = [self._request(1000 + i) for i in range(4)]
        answers = [await ask(self._gateways[0], request, None) for request in fresh]
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
        return await ask(gateway, request, leave_after)

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
            max_tokens=self._dice.randrange(1, 40),
            stop_tokens=self._dice.choice(((), tuple(range(50)))),
            timeout_s=self._profile.timeout_s,
        )

    async def _nemesis(self) -> None:
        """Kills nodes at drawn moments and brings them back a little later."""
        every = self._profile.crash_every_s
        while every:
            await self._clock.sleep(self._dice.expovariate(1.0 / every))
            node = self._dice.choice(self._nodes)
            if node.life is not None:
                self._crashes += 1
                node.crash() if self._dice.random() < 0.5 else node.end_engine()
                await self._clock.sleep(self._dice.random() * 2.0)
                await node.start()

    def _node(self, role: str, number: int) -> Node:
        return Node(f"{role}-{number}", role, self._dice.random() * 1e6, self._around)

    def _gateway(self, number: int) -> Gateway:
        hello = Hello(WIRE_VERSION, "gateway", f"gateway-{number}", "1")
        clock = LoopClock(self._dice.random() * 1e6)
        dialer = self._around.network.dialer(hello, clock, self._limits)
        fleet = Fleet(self._around.directory, dialer, clock, self._limits)
        self._fleets.append(fleet)
        router = LoadRouter(self._limits.max_reserved_wait_s)
        ids = random.Random(self._seed * 31 + number)

        def new_transfer() -> TransferId:
            return TransferId(f"{ids.getrandbits(128):032x}")

        return Gateway(fleet, router, clock, self._limits, new_transfer, self._count_replan)

    def _count_replan(self) -> None:
        self._replans += 1

    def _report(self, outcomes: list[Outcome], complaints: list[str]) -> Report:
        seen = [(o.request.id, o.tokens, o.error, round(o.seconds, 9)) for o in outcomes]
        trace = zlib.crc32(repr(seen).encode())
        return Report(self._seed, tuple(outcomes), tuple(complaints), self._crashes, self._replans, trace)


async def _live(seed: int, profile: Profile) -> Report:
    return await World(seed, profile).run()


def run_seed(seed: int, profile: Profile) -> Report:
    """One run on a virtual clock. Raises Stuck if the cluster deadlocks."""
    return run_virtual(_live(seed, profile))
