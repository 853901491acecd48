"""Events of workers reach the index in order, or the worker is asked to begin again."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import WorkerIdentity
from protocol.kv_events import Cleared, Evicted, KvEvent, KvEvents, Stored, Tier, packed_keys
from router.index_feed import FeedOutcome, IndexFeed
from router.prefix_index import IndexLimits, PrefixIndex
from tests.router.index_model import block_hash, hits_on, keys_of, worker

A = worker("a")
LIMITS = IndexLimits(max_blocks=1000, max_workers=64, max_sets=100)
CHAIN = range(10)


def stored(*blocks: int, tier: Tier = Tier.DEVICE) -> Stored:
    """An event about numbered blocks."""
    return Stored(packed_keys(map(block_hash, blocks)), tier)


def evicted(*blocks: int) -> Evicted:
    """An event about numbered blocks."""
    return Evicted(packed_keys(map(block_hash, blocks)))


class Gateway:
    """An index with its feed."""

    def __init__(self, *joined: WorkerIdentity) -> None:
        self.index = PrefixIndex(LIMITS)
        self.feed = IndexFeed(self.index)
        for one in joined:
            self.feed.join(one)

    def hear(self, sequence: int, *events: KvEvent, of: WorkerIdentity = A) -> FeedOutcome:
        """One frame."""
        return self.feed.apply(KvEvents(of, sequence, events))

    def prefix(self, of: WorkerIdentity = A) -> int:
        """Blocks of CHAIN on that worker."""
        return hits_on(self.index, self.index.lookup(keys_of(CHAIN)), of)[0]


def test_a_stream_begins_with_cleared_and_is_applied_in_order() -> None:
    """Stored, moved and evicted blocks are known as soon as they are told."""
    gateway = Gateway(A)
    assert gateway.feed.wanting() == (A,)
    assert gateway.hear(0, Cleared(), stored(*range(6))) is FeedOutcome.APPLIED
    assert gateway.feed.wanting() == () and gateway.prefix() == 6
    gateway.hear(1, stored(*range(6, 10), tier=Tier.HOST), evicted(8))
    assert hits_on(gateway.index, gateway.index.lookup(keys_of(CHAIN)), A) == (8, 2)
    assert gateway.hear(2) is FeedOutcome.APPLIED


def test_a_frame_that_comes_twice_counts_once() -> None:
    """What was told since stays."""
    gateway = Gateway(A)
    gateway.hear(0, Cleared(), stored(*CHAIN))
    gateway.hear(1, evicted(5))
    assert gateway.hear(0, Cleared(), stored(*CHAIN)) is FeedOutcome.REPEATED
    assert gateway.hear(1, stored(5)) is FeedOutcome.REPEATED
    assert gateway.prefix() == 5


def test_after_a_gap_nothing_is_applied_until_the_worker_begins_anew() -> None:
    """What was known stays meanwhile; the dump replaces it, in as many frames as it takes."""
    gateway = Gateway(A)
    gateway.hear(0, Cleared(), stored(*range(8)))
    assert gateway.hear(2, evicted(0)) is FeedOutcome.GAP
    assert gateway.feed.wanting() == (A,) and gateway.prefix() == 8
    assert gateway.hear(1, Cleared()) is FeedOutcome.REPEATED
    assert gateway.hear(3, stored(8)) is FeedOutcome.AWAITING
    assert gateway.hear(7, Cleared(), stored(*range(3))) is FeedOutcome.APPLIED
    assert gateway.feed.wanting() == () and gateway.prefix() == 3
    assert gateway.hear(8, stored(3, 4)) is FeedOutcome.APPLIED
    assert gateway.prefix() == 5
    assert gateway.feed.outcomes[FeedOutcome.APPLIED] == 3


def test_a_frame_that_cannot_be_read_is_a_gap() -> None:
    """Bytes of a peer never raise here."""
    gateway = Gateway(A)
    gateway.hear(0, Cleared(), stored(*CHAIN))
    assert gateway.hear(1, Stored(b"12345")) is FeedOutcome.GAP
    assert gateway.hear(2, Cleared(), Evicted(b"1")) is FeedOutcome.AWAITING
    assert gateway.hear(3, Cleared(), stored(0)) is FeedOutcome.APPLIED
    assert gateway.prefix() == 1


def test_an_older_life_is_ignored() -> None:
    """Its entries go when the new life joins; what it still says, and its end, change nothing."""
    gateway, second = Gateway(A), worker("a", "2")
    gateway.hear(0, Cleared(), stored(*CHAIN))
    gateway.feed.join(second)
    assert gateway.index.slot(A) is None and gateway.index.entries() == 0
    assert gateway.hear(1, stored(1)) is FeedOutcome.STRANGER
    gateway.hear(0, Cleared(), stored(*range(4)), of=second)
    gateway.feed.leave(A)
    assert gateway.prefix(second) == 4


def test_a_new_link_to_the_same_life_keeps_its_entries_until_the_dump() -> None:
    """Its frames are numbered from 0 again."""
    gateway = Gateway(A)
    gateway.hear(0, Cleared(), stored(*range(6)))
    gateway.feed.join(A)
    assert gateway.feed.wanting() == (A,) and gateway.prefix() == 6
    assert gateway.hear(0, Cleared(), stored(*range(2))) is FeedOutcome.APPLIED
    assert gateway.prefix() == 2


def test_a_worker_that_leaves_is_forgotten() -> None:
    """What it says later is a stranger's; others keep what they have."""
    b = worker("b")
    gateway = Gateway(A, b)
    for one in (A, b):
        gateway.hear(0, Cleared(), stored(*CHAIN), of=one)
    gateway.feed.leave(A)
    assert gateway.hear(1, stored(1)) is FeedOutcome.STRANGER
    assert gateway.index.entries() == 10 and gateway.prefix(b) == 10
    gateway.feed.leave(A)


def test_more_workers_than_there_is_room_for_are_left_out() -> None:
    """They are strangers, until one of the others leaves."""
    crowd = [worker(f"w{number}") for number in range(LIMITS.max_workers)]
    gateway = Gateway(*crowd, A)
    assert gateway.hear(0, Cleared(), stored(1)) is FeedOutcome.STRANGER
    gateway.feed.leave(crowd[0])
    gateway.feed.join(A)
    assert gateway.hear(0, Cleared(), stored(*CHAIN)) is FeedOutcome.APPLIED


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=4)), max_size=30),
    st.lists(st.sampled_from(("arrive", "twice", "lost")), min_size=30, max_size=30),
    st.randoms(use_true_random=False),
)
def test_after_any_loss_a_dump_makes_the_index_right(
    told: list[tuple[bool, list[int]]], fates: list[str], dice: random.Random
) -> None:
    """Events lost, doubled or late; the next frame shows it; then the index knows what the worker holds."""
    gateway, held = Gateway(A), set[int]()
    gateway.hear(0, Cleared())
    flying: list[KvEvents] = []
    for sequence, (store, blocks) in enumerate(told, start=1):
        held = held | set(blocks) if store else held - set(blocks)
        frame = KvEvents(A, sequence, (stored(*blocks) if store else evicted(*blocks),))
        flying += [frame] * {"arrive": 1, "twice": 2, "lost": 0}[fates[sequence - 1]]
    late = [flying.pop(dice.randrange(len(flying))) for _ in range(len(flying) // 5)]
    for frame in (*flying, *late):
        gateway.feed.apply(frame)
    gateway.hear(len(told) + 1)
    if gateway.feed.wanting():
        assert gateway.hear(len(told) + 2, Cleared(), stored(*sorted(held))) is FeedOutcome.APPLIED
    assert gateway.index.entries() == len(held)
    assert gateway.prefix() == next((block for block in CHAIN if block not in held), 10)
