"""What every Transport promises. A transport's tests run each of CHECKS on a fresh scene."""

from __future__ import annotations

import msgspec
import pytest

from kv_transfer.transport import BlockPair, ReadState
from protocol.errors import TransferFailed
from protocol.messages import SourceFacts
from tests.kv_transfer.reading import end_of, everything, holds, numbers_of
from tests.kv_transfer.transport_races import RACES, Check
from tests.kv_transfer.transport_scene import Scene, first_generation


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
    """Reads of a source never connected, dead, lying, of foreign metadata or another layout end FAILED."""
    source = await scene.start_source("dead", "1")
    facts = source.facts
    never = scene.reader.read_blocks(facts, [BlockPair(0, 0)])
    assert await end_of(scene, never) is ReadState.FAILED
    liar = _variant(facts, "liar", num_blocks=facts.num_blocks * 2)
    scene.reader.connect(liar)
    beyond = scene.reader.read_generations(liar, [facts.num_blocks])
    assert await end_of(scene, beyond) is ReadState.FAILED
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


def _variant(facts: SourceFacts, worker: str, **changes: object) -> SourceFacts:
    identity = msgspec.structs.replace(facts.identity, worker=worker)
    return msgspec.structs.replace(facts, identity=identity, **changes)


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
