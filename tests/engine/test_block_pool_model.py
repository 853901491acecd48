"""Any sequence of calls on the block pool, against a model that remembers who was given what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.block_pool import BlockPool
from engine.owner import Owner, OwnerKind
from protocol.errors import Busy
from protocol.ids import AttemptKey, BlockHash, BlockId, RequestId, TransferId

TOTAL = 8
REQUESTS = [Owner.request(AttemptKey(RequestId(name), 0)) for name in "ab"]
TRANSFERS = [kind(TransferId("t")) for kind in (Owner.pinned, Owner.dest, Owner.quarantine)]
OWNERS = st.sampled_from([*REQUESTS, *TRANSFERS, Owner.pinned(TransferId("u")), Owner.fenced(1)])
CHAIN = tuple(BlockHash(bytes([number])) for number in range(6))


class PoolModel(RuleBasedStateMachine):
    """No block is ever lost, doubled, or rewritten while somebody holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(np.zeros(TOTAL, dtype=np.int64))
        self.held: dict[Owner, dict[BlockId, int]] = {}
        """Blocks of each owner, with the generation that each had when it was given."""
        self.seen = [0] * TOTAL
        """Highest generation that any holder has had."""
        self.written: dict[BlockHash, tuple[BlockId, int]] = {}
        """Where each content was published, in which generation."""

    def given(self, owner: Owner, blocks: list[BlockId]) -> None:
        """Notes what an owner was given."""
        self.held.setdefault(owner, {}).update((block, self.pool.generation(block)) for block in blocks)

    def free(self) -> int:
        """Blocks that nobody holds, by the model."""
        return TOTAL - len({block for blocks in self.held.values() for block in blocks})

    @rule(owner=OWNERS, prefix=st.integers(0, len(CHAIN)), fresh=st.integers(0, 4))
    def take(self, owner: Owner, prefix: int, fresh: int) -> None:
        """Hits keep their content and generation; fresh blocks were nobody's and get a new one."""
        hits = self.pool.match(CHAIN[:prefix])
        before = {block: self.pool.generation(block) for block in hits}
        others = {block for blocks in self.held.values() for block in blocks}
        room = self.pool.room(hits)
        assert room == self.free() - len(set(hits) - others)
        if fresh > room:
            with pytest.raises(Busy):
                self.pool.take(owner, hits, fresh)
            return
        taken = self.pool.take(owner, hits, fresh)
        assert taken[: len(hits)] == hits and len(taken) == len(hits) + fresh
        assert {block: self.pool.generation(block) for block in hits} == before
        for block in taken[len(hits) :]:
            assert block not in others and block not in hits
            assert self.pool.generation(block) > self.seen[block]
            self.seen[block] = self.pool.generation(block)
        if taken:
            self.given(owner, taken)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), content=st.sampled_from(CHAIN))
    def publish(self, data: st.DataObject, content: BlockHash) -> None:
        """Some held block is complete."""
        owner = data.draw(st.sampled_from(list(self.held)))
        block = data.draw(st.sampled_from(list(self.held[owner])))
        known = self.pool.match([content])
        self.pool.publish(block, content)
        if not known and self.pool.match([content]) == [block]:
            self.written[content] = (block, self.pool.generation(block))

    @precondition(lambda self: self.written)
    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        """Some content turns out to be wrong."""
        content = data.draw(st.sampled_from(list(self.written)))
        for block in self.pool.match([content]):
            self.pool.retract(block)
        assert self.pool.match([content]) == []

    @precondition(lambda self: self.held)
    @rule(data=st.data(), owner=OWNERS)
    def share(self, data: st.DataObject, owner: Owner) -> None:
        """Some of what one owner holds gets one more holder, and keeps its content."""
        holder = data.draw(st.sampled_from(list(self.held)))
        blocks = data.draw(st.lists(st.sampled_from(list(self.held[holder])), unique=True, min_size=1))
        self.pool.share(owner, blocks)
        self.given(owner, blocks)

    @rule(old=OWNERS, new=OWNERS)
    def rename(self, old: Owner, new: Owner) -> None:
        """All that one owner holds goes to another, or stays where it is."""
        self.pool.rename(old, new)
        blocks = self.held.pop(old, None)
        if blocks:
            self.held.setdefault(new, {}).update(blocks)

    @rule(owner=OWNERS)
    def give_back(self, owner: Owner) -> None:
        """One owner lets go."""
        self.pool.give_back(owner)
        self.held.pop(owner, None)

    @invariant()
    def adds_up(self) -> None:
        """Every block is with its owners, cached or free; the pool's own check agrees."""
        self.pool.check()
        assert self.pool.available == self.free()
        assert sum(self.pool.counts().values()) == TOTAL
        for kind in OwnerKind:
            owners = [owner for owner in self.held if owner.kind is kind]
            assert set(self.pool.owners(kind)) == set(owners)
            assert self.pool.held(kind) == len({block for owner in owners for block in self.held[owner]})
        for block in range(TOTAL):
            holders = [owner for owner, blocks in self.held.items() if block in blocks]
            assert self.pool.refs(BlockId(block)) == len(holders)

    @invariant()
    def held_blocks_keep_their_generation(self) -> None:
        """While anyone holds a block nobody writes another content into it."""
        for owner, blocks in self.held.items():
            assert set(self.pool.held_by(owner)) == set(blocks)
            assert {block: self.pool.generation(block) for block in blocks} == blocks

    @invariant()
    def found_content_is_what_was_published(self) -> None:
        """A hit is the very block, in the very generation, that was published under this hash."""
        for content in CHAIN:
            for block in self.pool.match([content]):
                assert self.written[content] == (block, self.pool.generation(block))


PoolModel.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)
TestAnySequenceOfCalls = PoolModel.TestCase
