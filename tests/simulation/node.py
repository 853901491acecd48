"""One simulated worker: real server, real core, modelled runner; it can crash and come back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from decode_worker.role import DecodeRole
from engine.engine import Engine
from engine.modelled_runner import ModelledRunner, StepCost
from engine.runner import RunnerFacts
from engine.schedule import SchedulePolicy
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.memory_transport import MemoryTransport
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from prefill_worker.role import PrefillRole
from protocol.clock import LoopClock
from protocol.directory import Directory
from protocol.errors import BatonError
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.links.memory import MemoryNetwork
from protocol.messages import WIRE_VERSION, Hello, SourceFacts
from tests.simulation.directory_outage import DirectoryOutage
from tests.simulation.frozen_clock import FreezingClock
from tests.simulation.profile import Profile
from worker.core import WorkerCore
from worker.inline_host import InlineHost
from worker.role import Role
from worker.warm_up import warm_up
from worker.worker_server import WorkerServer

VOCABULARY = 997
REPLACED_AFTER_S = 1.0


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
    """One incarnation of a node."""

    def __init__(self, name: str, role: str, number: int, offset: float, around: Surroundings) -> None:
        self._name = name
        self._role = role
        self._around = around
        self._identity = WorkerIdentity(WorkerId(name), Incarnation(f"{name}.{number}"))
        clock = LoopClock(offset)
        self._engine_clock = FreezingClock(offset)
        hello = Hello(WIRE_VERSION, "worker", name, self._identity.incarnation)
        self.engine: Engine | None = None
        self.host = InlineHost(self._core, self._engine_clock, around.limits)
        self.directory = DirectoryOutage(around.directory)
        server = around.network.server(hello, clock, around.limits)
        dialer = around.network.dialer(hello, clock, around.limits)
        self.server = WorkerServer(
            self.host, server, dialer, self.directory, clock, around.limits, role, "memory"
        )

    def freeze(self) -> None:
        """The engine process is stopped: it computes nothing and nobody can read its memory."""
        self._engine_clock.freeze()
        self._around.fabric.hang(self._identity)

    def thaw(self) -> None:
        """It goes on."""
        self._engine_clock.thaw()
        self._around.fabric.wake(self._identity)

    def _core(self) -> WorkerCore:
        profile = self._around.profile
        facts = RunnerFacts(
            "modelled", "cells", 4096, VOCABULARY, profile.block_size, "modelled-1", profile.lookahead
        )
        runner = ModelledRunner(facts, profile.blocks, StepCost())
        transport = MemoryTransport(self._identity, runner.arena, self._around.fabric)
        engine = Engine(runner, SchedulePolicy(max_batch_tokens=32, max_running=8))
        warm_up(engine)
        self.engine = engine
        role = (
            self._prefill(engine, transport) if self._role == "prefill" else self._decode(engine, transport)
        )
        return MortalCore(engine, role, transport, self._identity, self._around.limits)

    def _prefill(self, engine: Engine, transport: MemoryTransport) -> Role:
        arena = engine.runner.arena
        facts = SourceFacts(
            identity=self._identity,
            agent=transport.local_agent(),
            arena_address=arena.address,
            block_bytes=arena.block_bytes,
            num_blocks=arena.num_blocks,
            generations_address=arena.generations_address,
        )
        limits = self._around.limits
        source = KvSource(engine.pool, facts, engine.runner.facts.fingerprint, limits)
        return PrefillRole(engine, source, limits)

    def _decode(self, engine: Engine, transport: MemoryTransport) -> Role:
        limits = self._around.limits
        facts = engine.runner.facts
        sink = KvSink(
            engine.pool,
            transport,
            self._identity,
            facts.fingerprint,
            engine.runner.arena.block_bytes,
            limits,
            lambda: limits.post_bytes,
        )
        return DecodeRole(engine, sink, limits)


class Node:
    """A worker's place: one life after another."""

    def __init__(self, name: str, role: str, offset: float, around: Surroundings) -> None:
        self.name = name
        self.role = role
        self._offset = offset
        self._around = around
        self._lives = 0
        self.life: Life | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """A new life, with empty memory."""
        self._lives += 1
        life = Life(self.name, self.role, self._lives, self._offset, self._around)
        await life.server.start(10.0)
        self.life = life
        self._keeper = asyncio.create_task(self._replace(life, self._lives))

    async def _replace(self, life: Life, number: int) -> None:
        """What Serve does: a worker that ends by itself, as one with a frozen engine, is replaced."""
        try:
            await life.server.finished()
        except BatonError:
            if self.life is life:
                self.life = None
                await LoopClock().sleep(REPLACED_AFTER_S)
                if self._lives == number:
                    await self.start()

    def crash(self) -> None:
        """The machine is gone: no farewell to peers, no word to the directory."""
        if self.life is not None:
            self.life.directory.begin()
            self._around.network.sever(self.name)
            self.life.host.kill()
            self.life = None

    def end_engine(self) -> None:
        """Only the engine process dies; its I/O process notices and says so."""
        if self.life is not None:
            self.life.host.kill()
            self.life = None

    async def drain(self, finish_s: float) -> None:
        """Scale-down or roll-out: the worker leaves without anybody noticing, and a new life follows."""
        life = self.life
        if life is not None:
            await life.server.drain(finish_s)
            await life.server.stop(1.0)
            if self.life is life:
                self.life = None
                await self.start()

    async def stop(self) -> None:
        """An orderly end."""
        if self.life is not None:
            await self.life.server.stop(1.0)
            self.life = None
