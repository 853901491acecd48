"""KV room of a modelled worker adds up whatever happens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from replay.holders import Holders
from replay.job import Job
from replay.kv_room import KvRoom
from replay.lodging import Lodging
from replay.trace import BLOCK_TOKENS, TraceRequest

CHAINS = ((1, 2, 3), (1, 2, 9, 10), (20,), (1,), (30, 31, 32, 33))


def lodged(room: KvRoom, chain: tuple[int, ...]) -> Lodging:
    return Lodging(Job(0, TraceRequest(0.0, len(chain) * BLOCK_TOKENS, 5, chain), 0.0), room)


def test_prefixes_are_shared_and_stay_after_use() -> None:
    """Two users of one prefix take its room once; later users find it cached."""
    room = KvRoom(0, 10 * BLOCK_TOKENS, Holders(1))
    first = lodged(room, (1, 2, 3))
    first.fill(3)
    second = lodged(room, (1, 2, 9))
    assert second.blocks == 2 and room.used == 4 * BLOCK_TOKENS
    first.leave()
    second.leave()
    assert room.used == 0 and lodged(room, (1, 2, 3)).blocks == 3


def test_the_longest_unused_is_evicted_deepest_first() -> None:
    """New prompts push out what nobody used for longest, and a chain loses its end before its start."""
    holders = Holders(1)
    room = KvRoom(0, 4 * BLOCK_TOKENS, holders)
    for chain in ((1, 2), (3, 4)):
        stay = lodged(room, chain)
        stay.fill(2)
        stay.leave()
    lodged(room, (5,))
    assert [int(holders.matched(chain)[0]) for chain in ((1, 2), (3, 4))] == [1, 2]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CHAINS), st.integers(0, 4), st.booleans()), max_size=40))
def test_room_adds_up(steps: list[tuple[tuple[int, ...], int, bool]]) -> None:
    """Whatever comes, fills and leaves: nothing is left over at the end, and the index tells the truth."""
    holders = Holders(1)
    room = KvRoom(0, 16 * BLOCK_TOKENS, holders)
    living: list[Lodging] = []
    for chain, fill, leaves in steps:
        if room.free >= len(chain) * BLOCK_TOKENS:
            living.append(lodged(room, chain))
            living[-1].fill(min(fill, len(chain)))
        if leaves and living:
            living.pop(0).leave()
        assert 0 <= room.used <= room.total
    for stay in living:
        stay.leave()
    assert room.used == 0
    for chain in CHAINS:
        assert lodged(room, chain).blocks == int(holders.matched(chain)[0])
