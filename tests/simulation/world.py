"""One simulated cluster under load and faults, from one scenario to one verdict."""

from __future__ import annotations

import asyncio
import random
import zlib

from engine.owner import OwnerKind
from kv_transfer.memory_fabric import MemoryFabric
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.errors import BatonError
from protocol.links.memory import MemoryNetwork
from protocol.virtual_loop import run_virtual
from tests.simulation.client import Outcome
from tests.simulation.directory_outage import DirectoryOutage
from tests.simulation.error_log import errors_kept
from tests.simulation.life import Surroundings
from tests.simulation.nemesis import Nemesis
from tests.simulation.node import Node
from tests.simulation.place import GatewayPlace
from tests.simulation.profile import Profile
from tests.simulation.read_weather import ReadWeather
from tests.simulation.report import Report
from tests.simulation.scenario import Scenario, Visit, request, scenario
from tests.simulation.weather import Weather

WARM_UP_S = 1.0
SETTLE_S = 45.0
"""After the faults end: longer than lease, silence, quarantine and every deadline of a peer."""
LOOK_EVERY_S = 0.5
HANG_S = 60.0
"""Beyond the last moment at which anything may still end."""
FRESH = 4
"""Requests after healing, of which each must be answered."""


class World:
    """Everything of one run."""

    def __init__(self, scene: Scenario) -> None:
        self._scene = scene
        profile, seed = scene.profile, scene.seed
        self._clock = LoopClock()
        self._dice = random.Random(f"{seed}/world")
        self._weather = Weather(random.Random(f"{seed}/weather"), profile)
        network = MemoryNetwork(self._clock, self._weather)
        self._reads = ReadWeather(random.Random(f"{seed}/reads"), profile)
        fabric = MemoryFabric(self._reads)
        self._outage = DirectoryOutage(MemoryDirectory(self._clock))
        self._around = Surroundings(network, fabric, self._outage, profile.limits, profile)
        roles = ["prefill"] * profile.prefills + ["decode"] * profile.decodes
        self._nodes = [self._node(role, place) for place, role in enumerate(roles)]
        self._gateways = [self._place(number) for number in range(profile.gateways)]
        self._nemesis = Nemesis(scene.strikes, self._nodes, self._gateways, self._weather, self._outage)
        self._replans = 0

    async def run(self) -> Report:
        """Load and faults, then healing, then the accounts."""
        for node in self._nodes:
            await node.start()
        for place in self._gateways:
            await place.start()
        await self._clock.sleep(WARM_UP_S)
        self._nemesis.start()
        outcomes = await self._answers()
        await self._nemesis.stop()
        complaints = [outcome.complaint() for outcome in outcomes]
        complaints += self._needless(outcomes)
        complaints += await self._heal()
        for place in self._gateways:
            await place.stop()
        for node in self._nodes:
            await node.stop()
            complaints += node.faults
        return self._report(outcomes, [one for one in complaints if one])

    async def _answers(self) -> list[Outcome]:
        """Of all clients. Waits for a signal and not for their tasks: cancelled, those would report how
        they were left, and this wait would not end."""
        ended, missing = asyncio.Event(), len(self._scene.visits)

        def count(client: asyncio.Task[Outcome]) -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                ended.set()

        clients = [asyncio.create_task(self._client(visit)) for visit in self._scene.visits]
        for client in clients:
            client.add_done_callback(count)
        if clients:
            await ended.wait()
        return await asyncio.gather(*clients)

    def _needless(self, outcomes: list[Outcome]) -> list[str]:
        """Where nothing happened that a request may notice, none did."""
        if not self._scene.profile.is_harmless:
            return []
        found = [f"{o.request.id} failed though nothing else did: {o.error}" for o in outcomes if o.error]
        if self._replans:
            found.append(f"{self._replans} requests were planned again though nothing failed")
        return found

    async def _heal(self) -> list[str]:
        """No fault any more: whoever is missing comes back, and all must be as new."""
        self._weather.heal()
        self._reads.heal()
        self._outage.end()
        for node in self._nodes:
            if node.life is not None:
                node.life.thaw()
                node.life.hasten()
        complaints = await self._settle()
        profile = self._scene.profile
        for number in range(FRESH):
            fresh = request(self._dice, _cured(profile), 1000 + number)
            answer = await self._gateways[0].answer(fresh, None)
            complaints.append(answer.complaint())
            if answer.finish is None:
                complaints.append(f"after healing, {fresh.id} failed: {answer.error}")
        return complaints

    async def _settle(self) -> list[str]:
        """What is still held when everything has had the time to end."""
        until = self._clock.now() + SETTLE_S
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            held = [found for node in self._nodes for found in self._accounts(node)]
            held += [found for place in self._gateways for found in place.leftovers()]
            if not held or self._clock.now() >= until:
                return held

    def _accounts(self, node: Node) -> list[str]:
        if node.life is None or node.life.engine is None:
            return [f"{node.name} is not back"]
        engine = node.life.engine
        try:
            engine.check()
        except BatonError as wrong:
            return [f"{node.name}: {wrong.message}"]
        held = [
            f"{node.name} still holds {count} {kind.value} blocks"
            for kind, count in engine.pool.counts().items()
            if count and kind not in (OwnerKind.FREE, OwnerKind.CACHE)
        ]
        if engine.running or engine.waiting:
            held.append(f"{node.name} still has {len(engine.running) + len(engine.waiting)} sequences")
        return held

    async def _client(self, visit: Visit) -> Outcome:
        await self._clock.sleep(visit.at)
        place = self._gateways[visit.gateway]
        return await place.answer(visit.request, visit.leave_after_tokens, visit.leave_after_s)

    def _node(self, role: str, place: int) -> Node:
        first = self._scene.profile.prefills if role == "decode" else 0
        offset = self._dice.random() * 1e6
        return Node(f"{role}-{place - first}", role, offset, self._around, place + 1)

    def _place(self, number: int) -> GatewayPlace:
        dice = random.Random(f"{self._scene.seed}/gateway {number}")
        return GatewayPlace(f"gateway-{number}", dice, self._around, self._count_replan)

    def _count_replan(self) -> None:
        self._replans += 1

    def _report(self, outcomes: list[Outcome], complaints: list[str]) -> Report:
        seen = [(o.request.id, o.tokens, o.error, round(o.seconds, 9)) for o in outcomes]
        trace = zlib.crc32(repr(seen).encode())
        return Report(
            self._scene.seed,
            tuple(outcomes),
            tuple(complaints),
            self._nemesis.struck,
            self._replans,
            trace,
        )


def _cured(profile: Profile) -> Profile:
    """Without poison."""
    return Profile(
        max_tokens=profile.max_tokens, max_own_prompt=profile.max_own_prompt, timeout_s=profile.timeout_s
    )


async def _live(scene: Scenario) -> Report:
    profile = scene.profile
    longest_s = WARM_UP_S + profile.over_s + (1 + FRESH) * profile.timeout_s + SETTLE_S + HANG_S
    async with LoopClock().deadline(longest_s):
        return await World(scene).run()


def run_scenario(scene: Scenario) -> Report:
    """One run on a virtual clock. A cluster that deadlocks, never ends or raises is a complaint."""
    with errors_kept() as logged:
        try:
            report = run_virtual(_live(scene))
        except Exception as wrong:
            complaint = f"the run broke: {type(wrong).__name__}: {wrong}"
            return Report(scene.seed, (), (complaint, *logged), len(scene.strikes), 0, 0)
    complaints = report.complaints + tuple(logged)
    return Report(report.seed, report.outcomes, complaints, report.strikes, report.replans, report.trace)


def run_seed(seed: int, profile: Profile) -> Report:
    """The run of one seed."""
    return run_scenario(scenario(seed, profile))
