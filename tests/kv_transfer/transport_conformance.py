"""What every Transport promises. A transport's tests run each of CHECKS on a fresh scene."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import numpy as np
import pytest

from kv_transfer.transport import BlockPair, ReadId, ReadState
from protocol.errors import TransferFailed
from protocol.messages import SourceFacts
from tests.kv_transfer.transport_scene import Scene, content, first_generation

Check = Callable[[Scene], Awaitable[None]]
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


async def bytes_arrive_in_the_right_blocks(scene: Scene) -> None:
    """A read fills the local blocks it names with the remote ones, and touches no other."""
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    pairs = [BlockPair(3, 0), BlockPair(0, 5), BlockPair(1, 6), BlockPair(2, 7), BlockPair(7, 2)]
    assert await end_of(scene, scene.reader.read_blocks(source, pairs)) is ReadState.DONE
    for pair in pairs:
        assert holds(scene, pair, first_generation(pair.remote)), pair
    for block in set(range(scene.arena.num_blocks)) - {pair.local for pair in pairs}:
        assert not scene.arena.data[block].any(), block


async def generations_come_in_the_order_asked(scene: Scene) -> None:
    """Numbers answer the blocks one by one, also when a block is asked twice or none is."""
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    for blocks in ((6, 1, 4), tuple(range(scene.arena.num_blocks)), (2, 2, 0), ()):
        numbers = await numbers_of(scene, source, blocks)
        assert numbers == tuple(first_generation(block) for block in blocks)
    assert not scene.arena.data.any()


async def many_small_reads_keep_apart(scene: Scene) -> None:
    """Reads posted together, of data and of numbers, do not disturb one another."""
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    pairs = everything(scene)
    data = [scene.reader.read_blocks(source, [pair]) for pair in pairs]
    numbers = [scene.reader.read_generations(source, [pair.remote]) for pair in pairs]
    for pair, one, other in zip(pairs, data, numbers, strict=True):
        assert await end_of(scene, one) is ReadState.DONE
        assert await end_of(scene, other) is ReadState.DONE
        assert holds(scene, pair, first_generation(pair.remote))
        assert scene.reader.generations(other) == (first_generation(pair.remote),)


async def unknown_and_unreachable_sources_fail(scene: Scene) -> None:
    """Reads of a source never connected, dead, of foreign metadata or another layout end FAILED."""
    source = await scene.start_source("dead", "1")
    facts = source.facts
    never = scene.reader.read_blocks(facts, [BlockPair(0, 0)])
    assert await end_of(scene, never) is ReadState.FAILED
    await source.kill()
    wrong = (
        facts,
        _variant(facts, "garbage", agent=b"no agent at all"),
        _variant(facts, "larger", block_bytes=facts.block_bytes * 2),
        _variant(facts, "nowhere", arena_address=0),
    )
    for source_facts in wrong:
        scene.reader.connect(source_facts)
        data = scene.reader.read_blocks(source_facts, [BlockPair(1, 1)])
        numbers = scene.reader.read_generations(source_facts, [1])
        assert await end_of(scene, data) is ReadState.FAILED
        assert await end_of(scene, numbers) is ReadState.FAILED
        with pytest.raises(TransferFailed):
            scene.reader.generations(numbers)


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


async def closing_one_peer_leaves_the_other(scene: Scene) -> None:
    """Reads from one source go on while another's agent is destroyed; the closed one may come back."""
    first = (await scene.start_source("first", "1")).facts
    second = (await scene.start_source("second", "1")).facts
    for facts in (first, second):
        scene.reader.connect(facts)
        assert await end_of(scene, scene.reader.read_generations(facts, [0])) is ReadState.DONE
    pairs = everything(scene)
    half = len(pairs) // 2
    reads = [scene.reader.read_blocks(second, [pair]) for pair in pairs[:half]]
    scene.reader.close_peer(first)
    reads += [scene.reader.read_blocks(second, [pair]) for pair in pairs[half:]]
    for pair, read in zip(pairs, reads, strict=True):
        assert await end_of(scene, read) is ReadState.DONE
        assert holds(scene, pair, first_generation(pair.remote))
    scene.reader.connect(first)
    assert await numbers_of(scene, first, [3]) == (first_generation(3),)


async def a_restarted_source_is_another_peer(scene: Scene) -> None:
    """After a restart the old incarnation's reads fail and the new one's work."""
    old = await scene.start_source("phoenix", "1")
    scene.reader.connect(old.facts)
    assert await numbers_of(scene, old.facts, [1]) == (first_generation(1),)
    await old.kill()
    new = await scene.start_source("phoenix", "2")
    scene.reader.connect(new.facts)
    assert await numbers_of(scene, new.facts, [1]) == (first_generation(1),)
    stale = scene.reader.read_blocks(old.facts, [BlockPair(0, 0)])
    assert await end_of(scene, stale) is ReadState.FAILED
    fresh = scene.reader.read_blocks(new.facts, [BlockPair(0, 0)])
    assert await end_of(scene, fresh) is ReadState.DONE


async def bad_blocks_are_refused(scene: Scene) -> None:
    """Blocks beyond either arena, negative ones and doubled targets raise before anything is posted."""
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    count = scene.arena.num_blocks
    for remote, local in ((count, 0), (-1, 0), (0, count), (0, -1)):
        with pytest.raises(TransferFailed):
            scene.reader.read_blocks(source, [BlockPair(0, 1), BlockPair(remote, local)])
    with pytest.raises(TransferFailed):
        scene.reader.read_blocks(source, [BlockPair(0, 1), BlockPair(2, 1)])
    for block in (count, -1):
        with pytest.raises(TransferFailed):
            scene.reader.read_generations(source, [0, block])
    await scene.linger()
    assert not scene.arena.data.any()


async def records_last_until_forgotten(scene: Scene) -> None:
    """A terminal state can be polled again until forget; then the read is unknown."""
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    scene.reader.connect(source)
    read = scene.reader.read_blocks(source, [BlockPair(0, 0)])
    assert await end_of(scene, read) is ReadState.DONE
    assert scene.reader.poll(read) is ReadState.DONE
    with pytest.raises(TransferFailed):
        scene.reader.generations(read)
    scene.reader.forget(read)
    for act in (scene.reader.poll, scene.reader.forget, scene.reader.generations):
        with pytest.raises(TransferFailed):
            act(read)


async def a_closed_transport_refuses(scene: Scene) -> None:
    """After close pending reads are FAILED, and every new one raises a typed error."""
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    read = scene.reader.read_blocks(source, [BlockPair(0, 0)])
    scene.reader.close()
    assert scene.reader.poll(read) is not ReadState.PENDING
    with pytest.raises(TransferFailed):
        scene.reader.connect(source)
    with pytest.raises(TransferFailed):
        scene.reader.read_blocks(source, [BlockPair(0, 0)])
    with pytest.raises(TransferFailed):
        scene.reader.read_generations(source, [0])
    scene.reader.close()


async def equal_generations_mean_right_bytes(scene: Scene) -> None:
    """The source reuses blocks while we read: no block with an equal generation after it is wrong."""
    source = await scene.start_source("reusing", "1")
    facts = source.facts
    scene.reader.connect(facts)
    await source.reuse_blocks()
    pairs = everything(scene)
    blocks = [pair.remote for pair in pairs]
    accepted = wrong_accepted = wrong = 0
    for _ in range(60):
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


def _variant(facts: SourceFacts, worker: str, **changes: object) -> SourceFacts:
    identity = msgspec.structs.replace(facts.identity, worker=worker)
    return msgspec.structs.replace(facts, identity=identity, **changes)


RACES: tuple[Check, ...] = (
    a_dying_source_is_never_a_short_success,
    nothing_lands_after_close_peer,
    an_abandoned_read_still_lands,
    equal_generations_mean_right_bytes,
)
"""The checks whose course depends on how bytes travel."""

CHECKS: tuple[Check, ...] = (
    bytes_arrive_in_the_right_blocks,
    generations_come_in_the_order_asked,
    many_small_reads_keep_apart,
    unknown_and_unreachable_sources_fail,
    closing_one_peer_leaves_the_other,
    a_restarted_source_is_another_peer,
    bad_blocks_are_refused,
    records_last_until_forgotten,
    a_closed_transport_refuses,
    *RACES,
)
