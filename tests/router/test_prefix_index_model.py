"""The prefix index against dictionaries: whatever happens, and while it grows."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.ids import WorkerIdentity
from protocol.kv_events import Tier
from router.prefix_index import IndexLimits, PrefixIndex
from tests.router.index_model import IndexModel, hits_on, keys_of, many_keys, worker

WORKERS = [worker(f"w{number}") for number in range(5)]
CROWD = worker("crowd")
CHAINS = [[*range(20), *range(100 * fork, 100 * fork + 30)] for fork in (1, 2, 3)]
BLOCKS = sorted({block for chain in CHAINS for block in chain})

holders = st.sampled_from(WORKERS)
tiers = st.sampled_from(Tier)
chains = st.sampled_from(CHAINS)
some_blocks = st.lists(st.sampled_from(BLOCKS), max_size=8)


class IndexMachine(RuleBasedStateMachine):
    """Any order of joins, stores, moves, evictions, leaves, and of others' blocks that make it grow."""

    def __init__(self) -> None:
        super().__init__()
        self.index = PrefixIndex(IndexLimits(max_blocks=20_000, max_workers=64, max_sets=1000))
        self.model = IndexModel()
        self.index.join(CROWD)
        self.crowd = 0

    @rule(holder=holders)
    def join(self, holder: WorkerIdentity) -> None:
        assert self.index.join(holder)
        self.model.tiers.setdefault(holder, {})

    @rule(chain=chains, length=st.integers(0, 50), data=st.data(), tier=tiers)
    @precondition(lambda self: self.model.tiers)
    def store_prefix(self, chain: list[int], length: int, data: st.DataObject, tier: Tier) -> None:
        self._store(data, chain[:length], tier)

    @rule(blocks=some_blocks, data=st.data(), tier=tiers)
    @precondition(lambda self: self.model.tiers)
    def store_some(self, blocks: list[int], data: st.DataObject, tier: Tier) -> None:
        self._store(data, blocks, tier)

    def _store(self, data: st.DataObject, blocks: list[int], tier: Tier) -> None:
        holder = data.draw(st.sampled_from(list(self.model.tiers)))
        self.index.store(holder, keys_of(blocks), tier)
        self.model.tiers[holder].update(dict.fromkeys(blocks, tier))

    @rule(blocks=some_blocks, holder=holders)
    def evict(self, blocks: list[int], holder: WorkerIdentity) -> None:
        self.index.evict(holder, keys_of(blocks))
        for block in blocks:
            self.model.tiers.get(holder, {}).pop(block, None)

    @rule(chain=chains, length=st.integers(0, 50), holder=holders)
    def evict_tail(self, chain: list[int], length: int, holder: WorkerIdentity) -> None:
        self.evict(chain[length:], holder)

    @rule(holder=holders)
    def clear(self, holder: WorkerIdentity) -> None:
        self.index.clear(holder)
        if holder in self.model.tiers:
            self.model.tiers[holder] = {}

    @rule(holder=holders)
    def leave(self, holder: WorkerIdentity) -> None:
        self.index.leave(holder)
        self.model.tiers.pop(holder, None)

    @rule(count=st.integers(1, 1500))
    @precondition(lambda self: self.crowd < 12_000)
    def grow(self, count: int) -> None:
        self.index.store(CROWD, many_keys(count, self.crowd), Tier.DEVICE)
        self.crowd += count

    @rule()
    def crowd_clears(self) -> None:
        self.index.clear(CROWD)
        self.crowd = 0

    @invariant()
    def every_prefix_is_found(self) -> None:
        for chain in CHAINS:
            hits = self.index.lookup(keys_of(chain))
            for holder in self.model.tiers:
                assert hits_on(self.index, hits, holder) == self.model.hits(holder, chain)
            assert hits.blocks.sum() == sum(self.model.hits(one, chain)[0] for one in self.model.tiers)

    @invariant()
    def entries_are_counted(self) -> None:
        assert self.index.entries() == self.model.entries() + self.crowd


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
