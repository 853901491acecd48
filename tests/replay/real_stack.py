"""A trace on the code that serves, in virtual time: real gateway, router, workers, engines and links.

Modelled are only the steps (the same formulas as in the replay) and the reads of KV (64 GB/s).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import aclosing

from cluster.modelled_engine import MockCost
from cluster.spec import MockSpec
from engine.engine import Engine
from engine.modelled_runner import ModelledRunner
from engine.runner import RunnerFacts
from engine.schedule import SchedulePolicy, StepOrder
from gateway.fleet import Fleet
from gateway.record import Record
from gateway.service import Gateway
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.read_fate import CalmFates, ReadFate
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.ids import Incarnation, RequestId, TransferId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.links.memory import MemoryNetwork
from protocol.messages import WIRE_VERSION, Hello
from protocol.request import Request
from protocol.sampling import Sampling
from protocol.virtual_loop import run_virtual
from replay.engine_times import KV_BYTES_PER_TOKEN, LINK_BYTES_PER_S
from replay.gap_counts import GapCounts
from replay.job import Job
from replay.outcome import Outcome, outcome_of, possible_hits
from replay.settings import ReplaySettings
from replay.trace import BLOCK_TOKENS, TraceRequest
from router.joint_router import JointRouter
from router.outlook import Outlook
from router.prefix_index import IndexLimits
from router.slo import Slo
from tests.simulation.life import Life, Surroundings
from tests.simulation.node_clock import NodeClock
from tests.simulation.profile import Profile

VOCABULARY = 50021
MAX_CONTEXT = 1 << 18
LIMITS = Limits(max_place_wait_s=3000.0, default_timeout_s=3600.0, post_bytes=1 << 30)
INDEX = IndexLimits(max_blocks=1 << 20, max_workers=64, max_sets=1 << 14)
SETTLE_S = 1.0
LONGEST_S = 50_000.0
BLOCK = 64
"""Tokens of a real block."""
BLOCK_READ = ReadFate(first_s=0.0, each_s=BLOCK * KV_BYTES_PER_TOKEN / LINK_BYTES_PER_S)


class TraceLife(Life):
    """A worker whose steps take as long as those of the replay."""

    settings: ReplaySettings

    def _fresh_engine(self) -> Engine:
        kv_tokens, times = self.settings.kv_tokens, self.settings.times
        facts = RunnerFacts(
            "modelled", "cells", min(MAX_CONTEXT, kv_tokens), VOCABULARY, BLOCK, "modelled-1", 1
        )
        cost = MockCost(times, MockSpec(kv_tokens=kv_tokens, speedup=1.0))
        order = StepOrder.PREFILL_FIRST if self._role == "prefill" else StepOrder.DECODE_FIRST
        policy = SchedulePolicy(times.max_batch_tokens, times.max_running, times.max_step_s, order)
        return Engine(ModelledRunner(facts, kv_tokens // BLOCK, cost), policy)


class RealStack:
    """One cluster and the clients of a trace, who ask its gateways in turn."""

    def __init__(self, settings: ReplaySettings, gateways: int = 1) -> None:
        self._settings = settings
        self._clock = LoopClock()
        self._network = MemoryNetwork(self._clock)
        self._around = Surroundings(
            self._network,
            MemoryFabric(CalmFates(BLOCK_READ)),
            MemoryDirectory(self._clock),
            LIMITS,
            Profile(),
        )
        roles = ["prefill"] * settings.prefills + ["decode"] * settings.decodes
        self._lives = [self._life(role, number) for number, role in enumerate(roles)]
        self._dice = random.Random(0)
        self._gaps = GapCounts()
        self._remote: set[RequestId] = set()
        self._fleets: list[Fleet] = []
        self._gateways = [self._gateway(f"gateway-{number}") for number in range(gateways)]

    async def run(self, requests: Sequence[TraceRequest]) -> Outcome:
        """Every request asked when it arrives, and read to its end."""
        for life in self._lives:
            await life.start()
        for fleet in self._fleets:
            await fleet.start()
        await self._clock.sleep(SETTLE_S)
        began = self._clock.now()
        clients = [asyncio.create_task(self._client(n, one, began)) for n, one in enumerate(requests)]
        jobs = [await client for client in clients]
        for job in jobs:
            job.remote = RequestId(str(job.number)) in self._remote
        for fleet in self._fleets:
            await fleet.stop()
        for life in self._lives:
            await life.stop()
        return outcome_of(jobs, self._gaps, self._settings.slo, possible_hits(requests))

    async def _client(self, number: int, one: TraceRequest, began: float) -> Job:
        await self._clock.sleep(began + one.arrival_s - self._clock.now())
        job = Job(number, one, one.arrival_s + self._settings.slo.ttft_s)
        gateway = self._gateways[number % len(self._gateways)]
        async with aclosing(gateway.generate(asked(number, one))) as events:
            async for event in events:
                now = self._clock.now() - began
                if not job.sent:
                    job.first_s, job.reused_tokens = now, event.cached_tokens
                else:
                    self._gaps.add(now - job.last_s, 1)
                job.sent, job.last_s = job.sent + len(event.tokens), now
        return job

    def _ended(self, record: Record) -> None:
        if record.placed is not None and record.placed.plan.prefill is not None:
            self._remote.add(record.id)

    def _transfer(self) -> TransferId:
        return TransferId(f"{self._dice.getrandbits(128):032x}")

    def _gateway(self, name: str) -> Gateway:
        dialer = self._network.dialer(Hello(WIRE_VERSION, "gateway", name, "1"), self._clock, LIMITS)
        outlook, slo = Outlook(INDEX), self._settings.slo
        fleet = Fleet(self._around.directory, dialer, self._clock, LIMITS, outlook)
        self._fleets.append(fleet)
        router = JointRouter(outlook, Slo(slo.ttft_s, slo.itl_s), LIMITS.max_reserved_wait_s)
        return Gateway(fleet, router, self._clock, LIMITS, self._transfer, on_end=self._ended)

    def _life(self, role: str, number: int) -> TraceLife:
        identity = WorkerIdentity(WorkerId(f"{role}-{number}"), Incarnation("1"))
        life = TraceLife(identity, role, 0, NodeClock(0.0), self._around)
        life.settings = self._settings
        return life


def asked(number: int, one: TraceRequest) -> Request:
    """Equal ids give equal blocks of tokens, other ids other ones. It ends by its length alone."""
    prompt = [token for block in one.chain for token in _block(block)][: one.input_tokens]
    return Request(
        id=RequestId(str(number)),
        model="modelled",
        prompt=tuple(prompt),
        sampling=Sampling(seed=number, temperature=0.0),
        max_tokens=one.output_tokens,
        timeout_s=LIMITS.default_timeout_s,
    )


def _block(number: int) -> list[int]:
    return [number % VOCABULARY, number // VOCABULARY] + [0] * (BLOCK_TOKENS - 2)


def replay_for_real(requests: Sequence[TraceRequest], settings: ReplaySettings, gateways: int = 1) -> Outcome:
    """What `replay` models, on the code that serves. Some thirty requests take a second of CPU."""

    async def live() -> Outcome:
        async with LoopClock().deadline(LONGEST_S):
            return await RealStack(settings, gateways).run(requests)

    return run_virtual(live())
