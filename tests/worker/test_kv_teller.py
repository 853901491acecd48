"""Whatever the pool does, and however it is told, an index that hears all frames knows what is held."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.block_pool import BlockPool
from engine.owner import Owner
from protocol.ids import AttemptKey, BlockHash, RequestId
from protocol.kv_events import Cleared, Evicted, KvEvents, Stored, packed_keys
from protocol.mail import Outbound, PeerId
from router.index_feed import FeedOutcome, IndexFeed
from router.prefix_index import IndexLimits, PrefixIndex
from tests.router.index_model import block_hash, hits_on, keys_of, worker
from worker.kv_teller import KvTeller

ME = worker("w")
TOTAL = 10
CONTENTS = range(14)
OWNERS = [Owner.request(AttemptKey(RequestId(name), 0)) for name in "abc"]
PEERS = [PeerId(number) for number in (1, 2, 3)]
LIMITS = IndexLimits(max_blocks=1000, max_workers=4, max_sets=100)


def content(number: int) -> BlockHash:
    """A block's hash."""
    return block_hash(number)


class Listener:
    """A gateway's index."""

    def __init__(self) -> None:
        self.index = PrefixIndex(LIMITS)
        self.feed = IndexFeed(self.index)
        self.feed.join(ME)

    def held(self) -> set[int]:
        """What it believes the worker holds."""
        return {n for n in CONTENTS if hits_on(self.index, self.index.lookup(keys_of([n])), ME)[0]}


class Telling(RuleBasedStateMachine):
    """Pool operations, gateways that come, go and ask again, and drains, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(np.zeros(TOTAL, dtype=np.int64))
        self.teller = KvTeller(self.pool, ME, slice_blocks=3)
        self.listeners: dict[PeerId, Listener] = {}
        for owner, size in zip(OWNERS, (2, 4, 3), strict=True):
            for block in self.pool.take(owner, (), size):
                if block % 2:
                    self.pool.publish(block, content(block))
        self.link(PEERS[0])

    @rule(owner=st.sampled_from(OWNERS), hits=st.sampled_from(CONTENTS), fresh=st.integers(0, 4))
    def take(self, owner: Owner, hits: int, fresh: int) -> None:
        """A sequence starts: what is cached may be evicted for it."""
        found = self.pool.match([content(hits)])
        if fresh <= self.pool.room(found):
            self.pool.take(owner, found, fresh)

    @rule(owner=st.sampled_from(OWNERS), number=st.sampled_from(CONTENTS), index=st.integers(0, 3))
    def publish(self, owner: Owner, number: int, index: int) -> None:
        """A block becomes findable."""
        held = self.pool.held_by(owner)
        if index < len(held):
            self.pool.publish(held[index], content(number))

    @rule(number=st.sampled_from(CONTENTS))
    def retract(self, number: int) -> None:
        """A content turns out to be wrong."""
        for block in self.pool.match([content(number)]):
            self.pool.retract(block)

    @rule(number=st.sampled_from(CONTENTS), owner=st.sampled_from(OWNERS))
    def move(self, number: int, owner: Owner) -> None:
        """A content is lost and computed again elsewhere, before anybody is told."""
        for block in self.pool.match([content(number)]):
            self.pool.retract(block)
            for other in self.pool.held_by(owner):
                if other != block:
                    self.pool.publish(other, content(number))

    @rule(owner=st.sampled_from(OWNERS))
    def give_back(self, owner: Owner) -> None:
        """A sequence ends."""
        self.pool.give_back(owner)

    @rule(peer=st.sampled_from(PEERS))
    def link(self, peer: PeerId) -> None:
        """A gateway comes, or comes back, and knows nothing of its old life."""
        self.teller.end(peer)
        self.listeners[peer] = Listener()
        self.teller.begin(peer)

    @rule(peer=st.sampled_from(PEERS))
    def lose(self, peer: PeerId) -> None:
        """A gateway goes."""
        self.teller.end(peer)
        self.listeners.pop(peer, None)

    @precondition(lambda self: self.listeners)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """A gateway wants its dump once more, even in the middle of one."""
        self.teller.begin(data.draw(st.sampled_from(list(self.listeners))))

    @rule()
    def tell(self) -> None:
        """One outbox: at most one frame a gateway, and each can be applied."""
        mail = self.teller.take()
        assert len({one.peer for one in mail}) == len(mail)
        for one in mail:
            assert isinstance(one.frame, KvEvents)
            assert self.listeners[one.peer].feed.apply(one.frame) is FeedOutcome.APPLIED
        if not self.teller.dumping:
            self.all_is_known()

    def all_is_known(self) -> None:
        """After the dump each index is what the pool holds, no more and no less."""
        held = {number for number in CONTENTS if self.pool.match([content(number)])}
        for listener in self.listeners.values():
            assert listener.held() == held
            assert listener.index.entries() == len(held)
            assert not listener.feed.wanting()

    @invariant()
    def journal_is_bounded(self) -> None:
        """Never more than what was findable when it was drained and what is now."""
        assert len(self.pool.journal) <= 2 * TOTAL

    def teardown(self) -> None:
        """In the end everybody knows everything."""
        while self.teller.dumping:
            self.tell()
        self.tell()


Telling.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


TestAnyInterleaving = Telling.TestCase


def filled_pool(blocks: int) -> BlockPool:
    """Every block findable and held."""
    pool = BlockPool(np.zeros(blocks, dtype=np.int64))
    for number, block in enumerate(pool.take(OWNERS[0], (), blocks)):
        pool.publish(block, content(number))
    return pool


def events(mail: list[Outbound], peer: PeerId) -> list[Cleared | Stored | Evicted]:
    """What one gateway was told."""
    frames = [one.frame for one in mail if one.peer == peer]
    return [event for frame in frames if isinstance(frame, KvEvents) for event in frame.events]


def test_dumps_take_turns_and_changes_go_to_those_who_have_begun() -> None:
    """One slice an outbox, so that no step waits; a gateway whose dump has not begun is told nothing."""
    pool = filled_pool(6)
    teller = KvTeller(pool, ME, slice_blocks=4)
    teller.begin(PEERS[0])
    teller.begin(PEERS[1])
    mail = teller.take()
    assert events(mail, PEERS[0]) == [Cleared(), Stored(packed_keys(map(content, range(4))))]
    assert events(mail, PEERS[1]) == []
    pool.retract(pool.match([content(0)])[0])
    mail = teller.take()
    gone = Evicted(packed_keys([content(0)]))
    assert events(mail, PEERS[0]) == [gone, Stored(packed_keys(map(content, (4, 5))))]
    assert events(mail, PEERS[1]) == []
    assert teller.dumping
    assert events(teller.take(), PEERS[1])[0] == Cleared()
    teller.take()
    assert not teller.dumping and teller.take() == []


def test_what_moves_behind_the_dump_is_told() -> None:
    """A content that a dump has not come to, and that is then found where the dump has been."""
    pool = BlockPool(np.zeros(4, dtype=np.int64))
    blocks = pool.take(OWNERS[0], (), 4)
    pool.publish(blocks[3], content(0))
    teller = KvTeller(pool, ME, slice_blocks=2)
    teller.begin(PEERS[0])
    assert events(teller.take(), PEERS[0]) == [Cleared()]
    pool.retract(blocks[3])
    pool.publish(blocks[0], content(0))
    assert events(teller.take(), PEERS[0]) == [Stored(packed_keys([content(0)]))]


def test_without_a_gateway_changes_are_dropped() -> None:
    """Nobody is told, and nothing is kept."""
    pool = filled_pool(6)
    assert len(pool.journal) == 6
    assert KvTeller(pool, ME).take() == []
    assert len(pool.journal) == 0
