"""One incarnation of a simulated worker: real server, real core, modelled runner."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from decode_worker.role import DecodeRole
from engine.engine import Engine
from engine.runner import RunnerFacts
from engine.schedule import SchedulePolicy
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.memory_transport import MemoryTransport
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from prefill_worker.role import PrefillRole
from protocol.directory import Directory
from protocol.errors import BatonError
from protocol.ids import WorkerIdentity
from protocol.limits import Limits
from protocol.links.memory import MemoryNetwork
from protocol.messages import WIRE_VERSION, Hello, SourceFacts
from tests.simulation.directory_outage import DirectoryOutage
from tests.simulation.node_clock import FreezingClock, NodeClock
from tests.simulation.pace import SLOWNESS, Pace, PacedCost
from tests.simulation.poison import VOCABULARY, MortalRunner, PoisonedStep
from tests.simulation.profile import Profile
from worker.core import WorkerCore
from worker.inline_host import InlineHost
from worker.role import Role
from worker.warm_up import warm_up
from worker.worker_server import WorkerServer

GRACE_S = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes of one run share."""

    network: MemoryNetwork
    fabric: MemoryFabric
    directory: Directory
    limits: Limits
    profile: Profile


class MortalCore(WorkerCore):
    """A core whose memory goes with it: nobody reads KV from a process that has ended."""

    def __init__(
        self, engine: Engine, role: Role, transport: MemoryTransport, own: WorkerIdentity, limits: Limits
    ) -> None:
        super().__init__(engine, (role,), own, limits)
        self._transport = transport

    def close(self) -> None:
        """The process ends."""
        super().close()
        self._transport.close()


class Life:
    """From the start of a worker to its end, whatever ends it."""

    def __init__(
        self, identity: WorkerIdentity, role: str, port: int, clock: NodeClock, around: Surroundings
    ) -> None:
        self._role = role
        self._around = around
        self._identity = identity
        self._engine_clock = FreezingClock(clock)
        self._pace = Pace()
        self._expected = False
        """Whatever ends it from now on."""
        self._over = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self.fault = ""
        """What ended it, if that was nobody's will: a bug."""
        self.engine: Engine | None = None
        hello = Hello(WIRE_VERSION, "worker", identity.worker, identity.incarnation)
        self.host = InlineHost(self._core, self._engine_clock, around.limits)
        self._directory = DirectoryOutage(around.directory)
        server = around.network.server(hello, clock, around.limits, port)
        dialer = around.network.dialer(hello, clock, around.limits)
        self.server = WorkerServer(
            self.host, server, dialer, self._directory, clock, around.limits, role, "memory"
        )

    async def start(self) -> None:
        """Serves from now on."""
        await self.server.start(GRACE_S)
        self._watch = asyncio.create_task(self._until_finished())

    async def over(self) -> None:
        """Returns when another life may begin."""
        await self._over.wait()

    def crash(self) -> None:
        """The machine is gone: no farewell to peers, no word to the directory."""
        self._directory.begin()
        self._around.network.sever(self._identity.worker)
        self.end_engine()
        self._over.set()

    def end_engine(self) -> None:
        """Only the engine process dies; its I/O process notices and says so."""
        self._expected = True
        self.host.kill()

    def retire(self) -> None:
        """Begins to leave so that nobody notices."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._leave())

    async def stop(self) -> None:
        """An orderly end."""
        await self.server.stop(GRACE_S)
        if self._stopping is not None:
            await self._stopping

    def freeze(self) -> None:
        """The engine process is stopped: it computes nothing and nobody can read its memory."""
        self._expected = True  # whoever notices may end it
        self._engine_clock.freeze()
        self._around.fabric.hang(self._identity)

    def drag(self) -> None:
        """Steps take much longer."""
        self._pace.factor = SLOWNESS

    def hasten(self) -> None:
        """Steps take as long as before."""
        self._pace.factor = 1.0

    def thaw(self) -> None:
        """It goes on."""
        self._engine_clock.thaw()
        self._around.fabric.wake(self._identity)

    async def _leave(self) -> None:
        await self.server.drain(self._around.limits.drain_s)
        await self.server.stop(GRACE_S)

    async def _until_finished(self) -> None:
        try:
            await self.server.finished()
        except BatonError as end:
            if not self._expected and PoisonedStep.__name__ not in end.message:
                self.fault = end.message
        self._over.set()

    def _core(self) -> WorkerCore:
        self.engine = engine = self._fresh_engine()
        warm_up(engine)
        transport = MemoryTransport(self._identity, engine.runner.arena, self._around.fabric)
        role = (self._prefill if self._role == "prefill" else self._decode)(engine, transport)
        return MortalCore(engine, role, transport, self._identity, self._around.limits)

    def _fresh_engine(self) -> Engine:
        profile = self._around.profile
        facts = RunnerFacts(
            "modelled", "cells", 4096, VOCABULARY, profile.block_size, "modelled-1", profile.lookahead
        )
        runner = MortalRunner(facts, profile.blocks, PacedCost(profile.step_s, pace=self._pace))
        return Engine(runner, SchedulePolicy(max_batch_tokens=32, max_running=8))

    def _prefill(self, engine: Engine, transport: MemoryTransport) -> Role:
        source, sink = self._source(engine, transport), self._sink(engine, transport)
        return PrefillRole(engine, source, sink, self._around.limits)

    def _decode(self, engine: Engine, transport: MemoryTransport) -> Role:
        source, sink = self._source(engine, transport), self._sink(engine, transport)
        return DecodeRole(engine, sink, source, self._around.limits)

    def _source(self, engine: Engine, transport: MemoryTransport) -> KvSource:
        arena = engine.runner.arena
        facts = SourceFacts(
            identity=self._identity,
            agent=transport.local_agent(),
            arena_address=arena.address,
            block_bytes=arena.block_bytes,
            num_blocks=arena.num_blocks,
            generations_address=arena.generations_address,
        )
        return KvSource(engine.pool, facts, engine.runner.facts.fingerprint, self._around.limits)

    def _sink(self, engine: Engine, transport: MemoryTransport) -> KvSink:
        limits = self._around.limits
        facts = engine.runner.facts
        return KvSink(
            engine.pool,
            transport,
            self._identity,
            facts.fingerprint,
            engine.runner.arena.block_bytes,
            limits,
            lambda: limits.post_bytes,
        )
