"""Promises of every Transport whose course depends on how bytes travel: deaths, fences, reuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from kv_transfer.transport import BlockPair, ReadState
from protocol.errors import TransferFailed
from tests.kv_transfer.reading import end_of, everything, holds, numbers_of
from tests.kv_transfer.transport_scene import Scene, first_generation

Check = Callable[[Scene], Awaitable[None]]


async def a_dying_source_is_never_a_short_success(scene: Scene) -> None:
    """Killed while we read: each read is DONE with all its bytes or FAILED, and then nothing lands."""
    source = await scene.start_source("victim", "1")
    scene.reader.connect(source.facts)
    assert await end_of(scene, scene.reader.read_generations(source.facts, [0])) is ReadState.DONE
    pairs = everything(scene)
    killing = None
    state = ReadState.DONE
    for _ in range(1000):
        scene.arena.data[:] = 0
        read = scene.reader.read_blocks(source.facts, pairs)
        killing = killing or asyncio.create_task(source.kill())
        state = await end_of(scene, read)
        if state is ReadState.FAILED:
            break
        assert all(holds(scene, pair, first_generation(pair.remote)) for pair in pairs)
    assert state is ReadState.FAILED
    landed = scene.arena.data.copy()
    if killing is not None:
        await killing
    await scene.linger()
    assert np.array_equal(scene.arena.data, landed)


async def nothing_lands_after_close_peer(scene: Scene) -> None:
    """The fence: reads of a hung source are FAILED by close_peer, and stay out when it wakes."""
    source = await scene.start_source("hung", "1")
    facts = source.facts
    scene.reader.connect(facts)
    assert await end_of(scene, scene.reader.read_generations(facts, [0])) is ReadState.DONE
    await source.hang()
    reads = [scene.reader.read_blocks(facts, [pair]) for pair in everything(scene)]
    for _ in range(20):
        await scene.pause()
    before = [scene.reader.poll(read) for read in reads]
    assert scene.hung_sources_answer or before[-1] is ReadState.PENDING
    scene.reader.close_peer(facts)
    landed = scene.arena.data.copy()
    after = [scene.reader.poll(read) for read in reads]
    assert ReadState.PENDING not in after
    await source.wake()
    await scene.linger()
    assert np.array_equal(scene.arena.data, landed)
    assert await end_of(scene, scene.reader.read_blocks(facts, [BlockPair(0, 0)])) is ReadState.FAILED


async def an_abandoned_read_still_lands(scene: Scene) -> None:
    """What a hung source owes lands when it wakes, whoever owns the block by then: so drain."""
    source = await scene.start_source("slow", "1")
    facts = source.facts
    scene.reader.connect(facts)
    assert await end_of(scene, scene.reader.read_generations(facts, [0])) is ReadState.DONE
    await source.hang()
    read = scene.reader.read_blocks(facts, [BlockPair(2, 4)])
    for _ in range(20):
        await scene.pause()
    if scene.reader.poll(read) is ReadState.PENDING:
        with pytest.raises(TransferFailed):
            scene.reader.forget(read)
    await source.wake()
    await scene.linger()
    assert holds(scene, BlockPair(2, 4), first_generation(2))
    assert await end_of(scene, read) is ReadState.DONE


async def equal_generations_mean_right_bytes(scene: Scene) -> None:
    """The source reuses blocks while we read: no block with an equal generation after it is wrong."""
    source = await scene.start_source("reusing", "1")
    facts = source.facts
    scene.reader.connect(facts)
    await source.reuse_blocks()
    pairs = everything(scene)
    blocks = [pair.remote for pair in pairs]
    accepted = wrong_accepted = wrong = 0
    for _ in range(30):
        published = await source.publish()
        assert await end_of(scene, scene.reader.read_blocks(facts, pairs)) is ReadState.DONE
        found = await numbers_of(scene, facts, blocks)
        for pair, number in zip(pairs, found, strict=True):
            right = holds(scene, pair, published[pair.remote])
            equal = number == published[pair.remote]
            accepted += equal
            wrong += not right
            wrong_accepted += equal and not right
    assert accepted > 0 and wrong > 0, "the test must see both"
    assert wrong_accepted == 0


RACES: tuple[Check, ...] = (
    a_dying_source_is_never_a_short_success,
    nothing_lands_after_close_peer,
    an_abandoned_read_still_lands,
    equal_generations_mean_right_bytes,
)
