"""The memory transport keeps the seam's promises, and lands as late and blind as the real thing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kv_transfer.memory_fabric import MemoryFabric
from kv_transfer.read_fate import CalmFates, DrawnFates, FaultRates, ReadFate
from kv_transfer.transport import BlockPair, ReadState
from protocol.virtual_loop import run_virtual
from tests.kv_transfer.memory_scene import MemoryScene
from tests.kv_transfer.reading import end_of, everything, holds
from tests.kv_transfer.transport_conformance import CHECKS
from tests.kv_transfer.transport_races import Check
from tests.kv_transfer.transport_scene import Scene, content, first_generation


async def on_stage(
    check: Callable[[MemoryScene], Awaitable[None]], fabric: MemoryFabric | None = None
) -> None:
    """Runs one check on a fresh scene."""
    scene = MemoryScene(fabric)
    try:
        await check(scene)
    finally:
        await scene.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.__name__))
def test_memory_transport_conforms(check: Check) -> None:
    """The fake keeps every promise of the seam."""

    async def run(scene: Scene) -> None:
        await check(scene)

    run_virtual(on_stage(run))


def test_blocks_land_one_by_one_with_the_bytes_of_that_moment() -> None:
    """A block is copied when it lands, not when it was asked for, and nobody has to poll."""

    async def check(scene: MemoryScene) -> None:
        source = await scene.start_source("plain", "1")
        scene.reader.connect(source.facts)
        remote = scene.fabric.arena(source.facts.identity)
        assert remote is not None
        read = scene.reader.read_blocks(source.facts, [BlockPair(0, 0), BlockPair(1, 1)])
        await asyncio.sleep(2.05)
        assert scene.arena.data[0].any() and not scene.arena.data[1].any()
        assert scene.reader.poll(read) is ReadState.PENDING
        remote.generations[1] = 99
        remote.data[1] = content(1, 99, scene.arena.block_bytes)
        await asyncio.sleep(1.0)
        assert scene.reader.poll(read) is ReadState.DONE
        assert holds(scene, BlockPair(1, 1), 99)

    fabric = MemoryFabric(CalmFates(ReadFate(first_s=1.0, each_s=1.0)), connect_s=1.0)
    run_virtual(on_stage(check, fabric))


def test_a_failed_read_leaves_junk() -> None:
    """Part of the blocks and junk have landed when a read fails: never a short success."""

    async def check(scene: MemoryScene) -> None:
        source = await scene.start_source("plain", "1")
        scene.reader.connect(source.facts)
        read = scene.reader.read_blocks(source.facts, everything(scene))
        assert await end_of(scene, read) is ReadState.FAILED
        right = [holds(scene, pair, first_generation(pair.remote)) for pair in everything(scene)]
        assert right == [True] * 3 + [False] * (len(right) - 3)
        assert scene.arena.data[everything(scene)[3].local].any()

    run_virtual(on_stage(check, MemoryFabric(CalmFates(ReadFate(fail_at=3)))))


def test_a_stalled_read_lands_long_after() -> None:
    """A stall holds the rest of a read for its time; then it lands in whatever is there."""

    async def check(scene: MemoryScene) -> None:
        source = await scene.start_source("plain", "1")
        scene.reader.connect(source.facts)
        read = scene.reader.read_blocks(source.facts, [BlockPair(0, 0), BlockPair(1, 1)])
        await asyncio.sleep(59.0)
        assert scene.reader.poll(read) is ReadState.PENDING
        scene.arena.data[:] = 0
        await asyncio.sleep(2.0)
        assert scene.reader.poll(read) is ReadState.DONE
        assert not scene.arena.data[0].any() and holds(scene, BlockPair(1, 1), first_generation(1))

    run_virtual(on_stage(check, MemoryFabric(CalmFates(ReadFate(stall_at=1, stall_s=60.0)))))


def test_a_dead_reader_gets_nothing() -> None:
    """When the reader's process ends, what was under way to it lands nowhere."""

    async def check(scene: MemoryScene) -> None:
        source = await scene.start_source("plain", "1")
        scene.reader.connect(source.facts)
        scene.reader.read_blocks(source.facts, everything(scene))
        scene.reader.close()
        await scene.linger()
        assert not scene.arena.data.any()

    run_virtual(on_stage(check))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), stall=st.floats(0, 1), fail=st.floats(0, 1))
def test_faulty_reads_end_right_or_failed(seed: int, stall: float, fail: float) -> None:
    """Under drawn stalls and failures each read ends; DONE means all its bytes; equal seeds agree."""

    async def outcomes() -> list[tuple[ReadState, bytes]]:
        dice = np.random.default_rng(seed)
        rates = FaultRates(stall=stall, fail=fail, max_stall_s=0.2)
        scene = MemoryScene(MemoryFabric(DrawnFates(lambda: float(dice.random()), rates)))
        source = await scene.start_source("plain", "1")
        scene.reader.connect(source.facts)
        seen = []
        for start in range(0, scene.arena.num_blocks, 4):
            scene.arena.data[:] = 0
            pairs = [BlockPair(block, block) for block in range(start, start + 4)]
            state = await end_of(scene, scene.reader.read_blocks(source.facts, pairs))
            if state is ReadState.DONE:
                assert all(holds(scene, pair, first_generation(pair.remote)) for pair in pairs)
            seen.append((state, scene.arena.data.tobytes()))
        await scene.close()
        return seen

    assert run_virtual(outcomes()) == run_virtual(outcomes())
