"""The prefix index, promise by promise; test_prefix_index_model.py has them all at once."""

from __future__ import annotations

import numpy as np

from protocol.kv_events import Tier
from router.block_keys import chain_keys, unpacked_keys
from router.block_table import SLAB, BlockTable
from router.prefix_index import IndexLimits, PrefixIndex
from tests.router.index_model import hits_on, keys_of, many_keys, worker

A, B, C = (worker(name) for name in "abc")
SMALL = IndexLimits(max_blocks=1000, max_workers=64, max_sets=100)
CHAIN = range(40)
VOID = np.array([True, False, False])


def index_of(*names: str, limits: IndexLimits = SMALL) -> PrefixIndex:
    """An index that knows these workers."""
    index = PrefixIndex(limits)
    for name in names:
        assert index.join(worker(name))
    return index


def test_a_prefix_ends_at_the_first_block_that_the_worker_lacks() -> None:
    """Blocks behind a gap are not counted, on one worker as little as on all."""
    index = index_of("a", "b", "c")
    index.store(A, keys_of(CHAIN), Tier.DEVICE)
    index.store(B, keys_of([*range(10), *range(11, 40)]), Tier.DEVICE)
    index.store(C, keys_of(range(1, 40)), Tier.DEVICE)
    hits = index.lookup(keys_of(CHAIN))
    assert [hits_on(index, hits, one)[0] for one in (A, B, C)] == [40, 10, 0]
    assert hits_on(index, index.lookup(keys_of([*range(5), 99, *range(6, 40)])), A) == (5, 0)
    assert not index.lookup(keys_of([99, *CHAIN])).blocks.any()
    assert not index.lookup(keys_of([])).blocks.any()


def test_a_block_is_in_one_tier_at_a_time() -> None:
    """What is said last holds; the prefix counts blocks of both tiers and says how many are on the host."""
    index = index_of("a", "b")
    index.store(A, keys_of(CHAIN), Tier.DEVICE)
    index.store(A, keys_of(range(30, 40)), Tier.HOST)
    index.store(B, keys_of(range(20)), Tier.HOST)
    hits = index.lookup(keys_of(CHAIN))
    assert (hits_on(index, hits, A), hits_on(index, hits, B)) == ((40, 10), (20, 20))
    index.store(A, keys_of(range(35, 40)), Tier.DEVICE)
    index.evict(A, keys_of([34]))
    assert hits_on(index, index.lookup(keys_of(CHAIN)), A) == (34, 4)
    assert index.entries() == 39 + 20


def test_a_worker_that_leaves_takes_its_entries_along() -> None:
    """Its place may go to another at once, who inherits nothing."""
    index = index_of(*(f"w{number}" for number in range(64)))
    assert not index.join(A)
    index.store(worker("w3"), keys_of(CHAIN), Tier.DEVICE)
    index.store(worker("w4"), keys_of(CHAIN), Tier.DEVICE)
    index.leave(worker("w3"))
    assert index.slot(worker("w3")) is None and index.join(A)
    hits = index.lookup(keys_of(CHAIN))
    assert hits_on(index, hits, A) == (0, 0)
    assert hits_on(index, hits, worker("w4")) == (40, 0)
    assert index.entries() == 40


def test_strangers_are_ignored() -> None:
    """Events of a worker that is not known change nothing."""
    index = index_of("a")
    for keys in (keys_of(CHAIN), keys_of([])):
        index.store(B, keys, Tier.DEVICE)
        index.evict(B, keys)
        index.evict(A, keys)
    index.clear(B)
    index.leave(B)
    assert index.entries() == 0


def test_the_longest_unused_blocks_give_way() -> None:
    """Memory is bounded: far beyond its capacity the index holds what is new and what is looked up."""
    index = index_of("a", "b")
    hot = keys_of(CHAIN)
    index.store(A, hot, Tier.DEVICE)
    recent = np.empty(0, np.uint64)
    for seed in range(40):
        recent = many_keys(500, seed)
        index.store(B, recent, Tier.DEVICE)
        index.lookup(hot)
    assert index.entries() <= BlockTable(SMALL.max_blocks).capacity
    assert hits_on(index, index.lookup(hot), A) == (40, 0)
    assert all(index.lookup(recent[at : at + 1]).blocks.any() for at in range(len(recent)))


def test_sets_of_workers_are_bounded() -> None:
    """With too many distinct sets a block's holders are no longer kept up to date; nothing else breaks."""
    index = index_of("a", "b", "c", limits=IndexLimits(max_blocks=1000, max_workers=64, max_sets=4))
    index.store(A, keys_of(range(10)), Tier.DEVICE)
    index.store(B, keys_of(range(10)), Tier.DEVICE)
    index.store(C, keys_of(range(5, 10)), Tier.DEVICE)
    index.store(A, keys_of(range(20, 30)), Tier.DEVICE)
    index.store(B, keys_of(range(20, 23)), Tier.HOST)
    hits = index.lookup(keys_of(range(10)))
    assert [hits_on(index, hits, one)[0] for one in (A, B)] == [10, 10]
    index.leave(A)
    index.leave(B)
    index.leave(C)
    assert index.entries() == 0
    for holder in "abcabc":
        assert index.join(worker(holder))
        index.store(worker(holder), keys_of(range(40, 60)), Tier.DEVICE)
    assert index.lookup(keys_of(range(40, 60))).blocks.max() == 20


def test_memory_of_what_is_gone_is_used_again() -> None:
    """A fleet that is replaced again and again finds room in the same table and the same sets."""
    index = PrefixIndex(IndexLimits(max_blocks=2000, max_workers=64, max_sets=20))
    for life in range(30):
        fleet = [worker(name, str(life)) for name in "abc"]
        chain = many_keys(1000, life)
        for place, holder in enumerate(fleet):
            assert index.join(holder)
            index.store(holder, chain[: 1000 - 100 * place], Tier.DEVICE)
        hits = index.lookup(chain)
        assert [hits_on(index, hits, holder)[0] for holder in fleet] == [1000, 900, 800]
        assert index.entries() == 2700
        for holder in fleet:
            index.leave(holder)
    assert index.entries() == 0


def test_a_table_grows_one_slab_at_a_time() -> None:
    """Every key is found at any size, and all of `max_blocks` find room."""
    table = BlockTable(20 * SLAB)
    keys = np.random.default_rng(0).permutation(many_keys(20 * SLAB, 0))
    for start in range(0, len(keys), 100):
        assert not table.insert(keys[start : start + 100], 1, VOID).any()
        which, _ = table.find(keys[: start + 100])
        assert len(which) == min(start + 100, len(keys))
    assert len(table.find(many_keys(100, 1))[0]) == 0


def test_keys_that_are_all_alike_do_no_harm() -> None:
    """Such hashes do not occur; a table that gets them keeps some and stays bounded."""
    table = BlockTable(20 * SLAB)
    table.insert(np.arange(1, 5000, dtype=np.uint64), 1, VOID)
    which, cells = table.find(np.arange(1, 5000, dtype=np.uint64))
    assert 0 < len(which) == len(np.unique(cells)) < 5000


def test_keys_are_the_start_of_hashes() -> None:
    """The same from a chain and from an event, and never the mark of a free cell."""
    assert unpacked_keys(bytes(8)).tolist() == [1]
    assert chain_keys([]).tolist() == []
    assert keys_of([7]).tolist() == unpacked_keys(keys_of([7]).tobytes()).tolist()
