"""How the transport checks read and compare."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.messages import SourceFacts
from tests.kv_transfer.transport_scene import Scene, content

BOUND_S = 15.0
"""Every read of a source that lives or is dead ends within this; a hung one never may."""


async def end_of(scene: Scene, read: ReadId) -> ReadState:
    """The terminal state of a read. Fails the test when it takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BOUND_S
    while (state := scene.reader.poll(read)) is ReadState.PENDING:
        assert loop.time() < deadline, f"a read was pending for {BOUND_S} s"
        await scene.pause()
    return state


async def numbers_of(scene: Scene, source: SourceFacts, blocks: Sequence[int]) -> tuple[int, ...]:
    """Generation numbers, which must arrive."""
    read = scene.reader.read_generations(source, blocks)
    assert await end_of(scene, read) is ReadState.DONE
    numbers = scene.reader.generations(read)
    scene.reader.forget(read)
    return numbers


def everything(scene: Scene) -> list[BlockPair]:
    """All blocks, each to another place."""
    count = scene.arena.num_blocks
    return [BlockPair(remote, (remote * 5 + 3) % count) for remote in range(count)]


def holds(scene: Scene, pair: BlockPair, generation: int) -> bool:
    """Whether the local block has exactly the source's bytes of that generation."""
    expected = content(pair.remote, generation, scene.arena.block_bytes)
    return bool(np.array_equal(scene.arena.data[pair.local], expected))
