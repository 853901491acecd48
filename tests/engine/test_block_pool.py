"""The block pool, promise by promise; test_block_pool_model.py has them all at once."""

from __future__ import annotations

import numpy as np
import pytest

from engine.block_pool import BlockPool
from engine.owner import Owner, OwnerKind
from protocol.errors import Busy, EngineFailed
from protocol.ids import AttemptKey, BlockHash, BlockId, RequestId, TransferId

TOTAL = 8
A = Owner.request(AttemptKey(RequestId("a"), 0))
B = Owner.request(AttemptKey(RequestId("b"), 0))
PIN, DEST, QUARANTINE = (kind(TransferId("t")) for kind in (Owner.pinned, Owner.dest, Owner.quarantine))
CHAIN = tuple(BlockHash(bytes([number])) for number in range(6))


def _pool(total: int = TOTAL) -> BlockPool:
    return BlockPool(np.zeros(total, dtype=np.int64))


def test_too_few_blocks_change_nothing() -> None:
    """Busy leaves the owner without a block and the cache as it was."""
    pool = _pool(2)
    (block,) = pool.take(A, (), 1)
    pool.publish(block, CHAIN[0])
    pool.give_back(A)
    with pytest.raises(Busy):
        pool.take(B, pool.match(CHAIN[:1]), 2)
    assert pool.held_by(B) == () and pool.available == 2
    assert pool.match(CHAIN[:1]) == [block]
    pool.check()


def test_prefix_is_found_up_to_the_first_gap() -> None:
    """Only a chain from the start is usable: a block after a missing one is not a hit."""
    pool = _pool()
    blocks = pool.take(A, (), 3)
    for place in (0, 2):
        pool.publish(blocks[place], CHAIN[place])
    assert pool.match(CHAIN[:3]) == blocks[:1]


def test_tail_of_a_prefix_is_evicted_first() -> None:
    """The start of a chain is the part that others share, so it goes last; free blocks go first."""
    pool = _pool(4)
    blocks = pool.take(A, (), 3)
    for block, content in zip(blocks, CHAIN, strict=False):
        pool.publish(block, content)
    pool.give_back(A)
    found = []
    for _ in range(4):
        pool.take(B, (), 1)
        found.append(len(pool.match(CHAIN[:3])))
    assert found == [3, 2, 1, 0]


def test_a_block_without_content_is_reused_before_a_cached_one() -> None:
    """The cache shrinks only when nothing else is left, however long ago its blocks were used."""
    pool = _pool(2)
    cached, partial = pool.take(A, (), 2)
    pool.publish(cached, CHAIN[0])
    pool.give_back(A)
    assert pool.take(B, (), 1) == [partial]
    pool.give_back(B)
    assert pool.take(B, (), 1) == [partial]


def test_least_recently_used_prefix_is_evicted_first() -> None:
    """A hit makes a prefix young again."""
    pool = _pool(2)
    for owner, content in ((A, CHAIN[0]), (B, CHAIN[1])):
        pool.publish(pool.take(owner, (), 1)[0], content)
    pool.give_back(A)
    pool.give_back(B)
    pool.take(A, pool.match(CHAIN[:1]), 0)
    pool.give_back(A)
    pool.take(B, (), 1)
    assert (len(pool.match(CHAIN[:1])), len(pool.match(CHAIN[1:2]))) == (1, 0)


def test_shared_block_lives_until_its_last_holder_lets_go() -> None:
    """One holder's end does not take the block from the other."""
    pool = _pool(1)
    (block,) = pool.take(A, (), 1)
    pool.publish(block, CHAIN[0])
    pool.take(B, pool.match(CHAIN[:1]), 0)
    pool.give_back(A)
    assert (pool.available, pool.refs(block)) == (0, 1)
    pool.give_back(B)
    assert (pool.available, pool.refs(block)) == (1, 0)


def test_giving_back_twice_is_harmless() -> None:
    """Blocks go back by owner: a second time there is nothing left to give, even if others hold them now."""
    pool = _pool(1)
    pool.take(A, (), 1)
    pool.give_back(A)
    pool.take(B, (), 1)
    pool.give_back(A)
    assert pool.refs(BlockId(0)) == 1
    pool.check()


def test_second_copy_of_a_content_is_not_findable() -> None:
    """Two sequences that computed the same prefix at once do not displace each other."""
    pool = _pool()
    first, second = pool.take(A, (), 1)[0], pool.take(B, (), 1)[0]
    pool.publish(first, CHAIN[0])
    pool.publish(second, CHAIN[0])
    assert pool.match(CHAIN[:1]) == [first]
    pool.check()


def test_retracted_content_is_not_found_and_may_be_published_anew() -> None:
    """Content that turned out to be wrong leaves the cache; its block stays with its holder."""
    pool = _pool()
    wrong, right = pool.take(A, (), 2)
    pool.publish(wrong, CHAIN[0])
    pool.retract(wrong)
    pool.retract(wrong)
    assert pool.match(CHAIN[:1]) == []
    pool.publish(right, CHAIN[0])
    assert pool.match(CHAIN[:1]) == [right]
    assert pool.held_by(A) == (wrong, right)
    pool.check()


def test_publishing_what_nobody_holds_is_refused() -> None:
    """A free block may be rewritten at any moment, so it must not become findable."""
    with pytest.raises(EngineFailed):
        _pool().publish(BlockId(0), CHAIN[0])


def test_hit_that_was_evicted_is_refused() -> None:
    """A hit that is no longer cached has another owner's content: taking it fails and changes nothing."""
    pool = _pool(1)
    (block,) = pool.take(A, (), 1)
    pool.publish(block, CHAIN[0])
    pool.give_back(A)
    hits = pool.match(CHAIN[:1])
    pool.take(B, (), 1)
    with pytest.raises(EngineFailed):
        pool.take(A, hits, 0)
    assert pool.held_by(A) == ()
    pool.check()


def test_block_counts_under_its_strongest_owner() -> None:
    """Each block is counted once, under the owner that can least do without it."""
    pool = _pool(4)
    (block,) = pool.take(A, (), 1)
    pool.publish(block, CHAIN[0])
    expected = OwnerKind.REQUEST
    for owner in (PIN, DEST, QUARANTINE):
        assert pool.counts()[expected] == 1
        pool.take(owner, pool.match(CHAIN[:1]), 0)
        expected = owner.kind
    counts = pool.counts()
    assert (counts[OwnerKind.QUARANTINE], counts[OwnerKind.FREE], sum(counts.values())) == (1, 3, 4)


def test_prefix_that_many_transfers_pin_is_held_once() -> None:
    """What is stuck in transfers is counted in blocks, not in transfers."""
    pool = _pool(4)
    blocks = pool.take(A, (), 2)
    for block, content in zip(blocks, CHAIN, strict=False):
        pool.publish(block, content)
    for number in range(10):
        pool.take(Owner.pinned(TransferId(str(number))), pool.match(CHAIN[:2]), 0)
    assert pool.held(OwnerKind.PINNED, OwnerKind.REQUEST) == 2


def test_what_nobody_holds_cannot_be_shared() -> None:
    """A free block has no content to keep; nothing changes for the others either."""
    pool = _pool(4)
    held = pool.take(A, (), 1)
    free = [block for block in range(4) if block not in held]
    with pytest.raises(EngineFailed):
        pool.share(B, [*held, BlockId(free[0])])
    assert (pool.held_by(B), pool.refs(held[0])) == ((), 1)
    pool.share(B, held)
    pool.give_back(A)
    assert (pool.held_by(B), pool.available) == (tuple(held), 3)


def test_generation_is_bumped_in_memory_that_others_read() -> None:
    """Readers see the new number in the array itself, before the new owner has the block."""
    generations = np.zeros(1, dtype=np.int64)
    pool = BlockPool(generations)
    pool.take(A, (), 1)
    pool.give_back(A)
    assert generations[0] == 1, "letting go does not make what was read wrong"
    pool.take(B, (), 1)
    assert generations[0] == 2


@pytest.mark.parametrize("damage", ["lost", "doubled", "counted", "misfiled"])
def test_check_finds_damage(damage: str) -> None:
    """Each way in which blocks can stop adding up makes the check raise."""
    pool = _pool()
    (block,) = pool.take(A, (), 1)
    pool.publish(block, CHAIN[0])
    if damage == "lost":
        pool._idle.popitem()
    elif damage == "doubled":
        pool._idle[block] = None
    elif damage == "counted":
        pool._refs[block] += 1
    else:
        pool._block_of[CHAIN[1]] = block
    with pytest.raises(EngineFailed):
        pool.check()
