"""The conformance suite's scene in one process: memory fabric, virtual time."""

from __future__ import annotations

import asyncio
import random

from engine.arena import Arena
from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.memory_transport import MemoryTransport
from kv_transfer.transport import Transport
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.messages import SourceFacts
from tests.kv_transfer.transport_scene import content, fresh_arena, source_arena

BLOCKS = 16
BLOCK_BYTES = 256


def facts_of(identity: WorkerIdentity, transport: Transport, arena: Arena) -> SourceFacts:
    """What a worker tells its readers."""
    return SourceFacts(
        identity=identity,
        agent=transport.local_agent(),
        arena_address=arena.address,
        block_bytes=arena.block_bytes,
        num_blocks=arena.num_blocks,
        generations_address=arena.generations_address,
    )


class MemorySource:
    """A source whose process is a fiction of the fabric."""

    def __init__(self, fabric: MemoryFabric, identity: WorkerIdentity) -> None:
        self._fabric = fabric
        self._identity = identity
        self._arena = source_arena(BLOCKS, BLOCK_BYTES)
        self._transport = MemoryTransport(identity, self._arena, fabric)
        self._whole = asyncio.Lock()
        self._reuse: asyncio.Task[None] | None = None
        self.facts = facts_of(identity, self._transport, self._arena)

    async def publish(self) -> tuple[int, ...]:
        """Between two rewrites."""
        async with self._whole:
            return tuple(int(number) for number in self._arena.generations)

    async def reuse_blocks(self) -> None:
        """A rewrite takes longer than a block's landing, so that some are read half done."""
        self._reuse = asyncio.create_task(self._rewrite())

    async def kill(self) -> None:
        """In the midst of what is being read."""
        await asyncio.sleep(0.0021)
        self._transport.close()

    async def hang(self) -> None:
        """Nothing of it can be read."""
        self._fabric.hang(self._identity)

    async def wake(self) -> None:
        """What waited goes on."""
        self._fabric.wake(self._identity)

    def stop(self) -> None:
        """The end of the test."""
        if self._reuse is not None:
            self._reuse.cancel()

    async def _rewrite(self) -> None:
        dice = random.Random(7)
        while True:
            await asyncio.sleep(0.0002)
            async with self._whole:
                block = dice.randrange(BLOCKS)
                generation = int(self._arena.generations[block]) + 1
                self._arena.generations[block] = generation
                fresh = content(block, generation, BLOCK_BYTES)
                self._arena.data[block, : BLOCK_BYTES // 2] = fresh[: BLOCK_BYTES // 2]
                await asyncio.sleep(0.0001)
                self._arena.data[block] = fresh


class MemoryScene:
    """One reader on a fabric of its own."""

    hung_sources_answer = False

    def __init__(self, fabric: MemoryFabric | None = None) -> None:
        self.fabric = fabric or MemoryFabric()
        self.arena = fresh_arena(BLOCKS, BLOCK_BYTES)
        identity = WorkerIdentity(WorkerId("reader"), Incarnation("1"))
        self.reader = MemoryTransport(identity, self.arena, self.fabric)
        self._sources: list[MemorySource] = []

    async def start_source(self, name: str, incarnation: str) -> MemorySource:
        """Joins the fabric."""
        source = MemorySource(self.fabric, WorkerIdentity(WorkerId(name), Incarnation(incarnation)))
        self._sources.append(source)
        return source

    async def pause(self) -> None:
        """A short step."""
        await asyncio.sleep(0.0005)

    async def linger(self) -> None:
        """Longer than any delay of the fabric."""
        await asyncio.sleep(200.0)

    async def close(self) -> None:
        """Ends the sources' tasks."""
        for source in self._sources:
            source.stop()
        self.reader.close()
