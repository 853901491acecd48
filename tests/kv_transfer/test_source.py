"""The source's half of a transfer, with readers that may say anything."""

from __future__ import annotations

import pytest

from engine.owner import Owner
from kv_transfer.source import MAX_AWAITED, KvSource
from protocol.messages import Attached, Cancel, Frame, Published, Withdrawn
from tests.prefill_worker.prefill_bench import (
    GATEWAY,
    LIMITS,
    LINK,
    OTHER_LINK,
    OTHER_READER,
    PROMPT,
    PrefillBench,
    job,
    key,
    transfer,
)

LONG = tuple(range(1200))
"""More than one step's budget of tokens."""


def _someone() -> Owner:
    return Owner.quarantine(transfer("someone"))


def withdrawals(frames: list[Frame]) -> list[str]:
    """Codes of the withdrawals among them."""
    return [frame.code for frame in frames if isinstance(frame, Withdrawn)]


def pinned(attached: bool = True) -> PrefillBench:
    """A bench whose only prompt is computed: three blocks are pinned."""
    bench = PrefillBench()
    bench.prefill(job())
    if attached:
        bench.attach()
    assert bench.turn()
    assert bench.pinned() == bench.held() == 3
    return bench


def test_full_blocks_go_out_after_each_chunk_and_the_last_one_once() -> None:
    """In prompt order, without gap or repeat, each with the generation it has; `last` at the end alone."""
    bench = PrefillBench(400)
    bench.prefill(job(prompt=(*LONG, 7)))
    bench.attach()
    frames: list[Published] = []
    counts: list[int] = []
    while bench.turn():
        fresh = bench.published()
        frames += fresh
        counts += [len(frame.blocks) for frame in fresh]
    assert counts == [128, 128, 45]
    assert [frame.last for frame in frames] == [False, False, True]
    assert [frame.first_block for frame in frames] == [0, 128, 256]
    blocks = [block for frame in frames for block in frame.blocks]
    generations = [number for frame in frames for number in frame.generations]
    assert generations == [int(bench.engine.runner.arena.generations[block]) for block in blocks]
    assert len(set(blocks)) == bench.pinned() == 301
    assert bench.count("published_blocks") == 301


@pytest.mark.parametrize("order", ["attach first", "prefill first", "computed first"])
def test_attach_and_prefill_may_come_in_any_order(order: str) -> None:
    """The reader is told where to read and what, whoever of the two is quicker."""
    bench = PrefillBench()
    if order == "attach first":
        bench.attach()
        bench.prefill(job())
        bench.turn()
    elif order == "prefill first":
        bench.prefill(job())
        bench.attach()
        bench.turn()
    else:
        bench.prefill(job())
        bench.turn()
        bench.attach()
    attached, published = bench.sent(LINK)
    assert attached == Attached(transfer("t"), bench.facts, LIMITS.lease_s)
    assert isinstance(published, Published)
    assert (published.first_block, len(published.blocks), published.last) == (0, 3, True)


def test_a_reader_is_told_only_of_what_it_lacks() -> None:
    """From its first missing block on."""
    bench = PrefillBench()
    bench.prefill(job())
    bench.attach(first=2)
    bench.turn()
    (published,) = bench.published()
    assert (published.first_block, len(published.blocks)) == (2, 1)


def test_release_gives_back_once() -> None:
    """Blocks are free at once; a second Release is counted and ignored."""
    bench = pinned()
    bench.release()
    assert bench.held() == 0
    bench.release()
    assert bench.count("ignored_source_frames") == 1
    assert bench.source.user(transfer("t")) is None


def test_a_lease_lapses_unless_it_is_renewed() -> None:
    """lease_s after the last renewal, on this side's clock, and the reader is told."""
    bench = pinned()
    bench.renew("t", now=8.0)
    bench.turn(8.0 + LIMITS.lease_s - 0.1)
    assert bench.pinned() == 3
    bench.sent(LINK)
    bench.turn(8.0 + LIMITS.lease_s)
    assert bench.held() == 0
    assert withdrawals(bench.sent(LINK)) == ["stale_kv"]
    assert bench.count("expired_leases") == 1


def test_a_lease_nobody_attached_to_lapses_too() -> None:
    """The gateway died between Prefill and Reserve, or the reader never came: no block is stranded."""
    bench = pinned(attached=False)
    bench.turn(LIMITS.lease_s)
    assert bench.held() == 0


def test_a_dead_reader_strands_nothing() -> None:
    """Its link is lost: it may still be reading, so the blocks stay, but no longer than the lease."""
    bench = pinned()
    bench.role.peer_lost(LINK, 1.0)
    assert bench.pinned() == 3
    bench.renew("t", now=9.0)
    bench.turn(LIMITS.lease_s)
    assert bench.held() == 0


def test_a_renewal_never_shortens_a_lease() -> None:
    """A reader that waits for a request still to come keeps its place for max_place_wait_s."""
    bench = PrefillBench()
    bench.attach()
    bench.renew("t", now=1.0)
    bench.turn(LIMITS.max_place_wait_s - 1.0)
    bench.sent(LINK)
    bench.turn(LIMITS.max_place_wait_s)
    assert withdrawals(bench.sent(LINK)) == ["stale_kv"]


def test_leases_do_not_depend_on_what_time_it_is() -> None:
    """A clock that is a year off holds a lease as long as any other."""
    bench = PrefillBench()
    year = 3.2e7
    bench.prefill(job(), now=year)
    bench.turn(year)
    bench.turn(year + LIMITS.lease_s - 0.1)
    assert bench.pinned() == 3
    bench.turn(year + LIMITS.lease_s)
    assert bench.held() == 0


def test_the_reader_comes_back_over_a_new_link() -> None:
    """The same reader attaches again: it is told everything again, and its old link means nothing."""
    bench = pinned()
    bench.sent(LINK)
    bench.attach(peer=OTHER_LINK, now=5.0)
    (published,) = bench.published(OTHER_LINK)
    assert (published.first_block, len(published.blocks), published.last) == (0, 3, True)
    bench.role.peer_lost(LINK, 5.0)
    bench.release(peer=LINK)
    bench.turn(LIMITS.lease_s)
    assert bench.pinned() == 3, "attaching renewed the lease"
    bench.release(peer=OTHER_LINK)
    assert bench.held() == 0


def test_another_reader_cannot_take_over() -> None:
    """It is told so, and the first reader's lease goes on as if nothing had happened."""
    bench = pinned()
    bench.sent(LINK)
    bench.attach(peer=OTHER_LINK, reader=OTHER_READER)
    assert withdrawals(bench.sent(OTHER_LINK)) == ["transfer_failed"]
    bench.release(peer=OTHER_LINK)
    bench.renew("t", peer=OTHER_LINK, now=9.0)
    assert bench.pinned() == 3
    assert bench.count("ignored_source_frames") == 3
    bench.turn(LIMITS.lease_s)
    assert bench.held() == 0, "a foreign renewal renews nothing"


def test_a_reader_of_another_model_gets_a_typed_answer() -> None:
    """Nothing is promised, and the right reader can still come."""
    bench = PrefillBench()
    bench.prefill(job())
    bench.attach(model="another")
    assert withdrawals(bench.sent(LINK)) == ["transfer_failed"]
    bench.attach(peer=OTHER_LINK)
    assert isinstance(bench.sent(OTHER_LINK)[0], Attached)


def test_unknown_transfers_and_foreign_frames() -> None:
    """Renew and Release of what is not here are counted; other frames are none of the source's."""
    bench = PrefillBench()
    bench.renew("x", "y")
    bench.release("x")
    assert bench.count("ignored_source_frames") == 3
    bench.hear(Published(transfer("t"), 0, (), (), True), LINK)
    bench.hear(Cancel(key()), LINK)
    assert bench.held() == 0


def test_a_reader_cannot_announce_transfers_without_end() -> None:
    """Beyond MAX_AWAITED it is told so; what it announced lapses and makes room."""
    bench = PrefillBench()
    for number in range(MAX_AWAITED):
        bench.attach(str(number))
    bench.sent(LINK)
    bench.attach("more")
    assert withdrawals(bench.sent(LINK)) == ["transfer_failed"]
    bench.turn(LIMITS.max_place_wait_s)
    bench.sent(LINK)
    bench.attach("more")
    assert isinstance(bench.sent(LINK)[0], Attached)


def test_release_while_the_prompt_is_computed() -> None:
    """The reader gave up: nothing is pinned, and the first token still goes to the gateway."""
    bench = PrefillBench(400)
    bench.prefill(job(prompt=LONG))
    bench.attach()
    bench.turn()
    bench.release()
    while bench.turn():
        pass
    assert bench.held() == 0
    assert bench.sent(GATEWAY)


def test_preemption_never_makes_a_reader_believe_wrong_kv() -> None:
    """Blocks that were published and then lost keep their old generation on record, so that reading
    them fails; the lease pins what the sequence holds now."""
    bench = PrefillBench(400)
    bench.prefill(job(prompt=LONG))
    bench.attach()
    bench.turn()
    (first,) = bench.published()
    (sequence,) = bench.engine.running
    bench.engine._preempt(sequence)
    bench.engine.pool.take(_someone(), (), 400)
    bench.engine.pool.give_back(_someone())
    while bench.turn():
        pass
    now = [int(bench.engine.runner.arena.generations[block]) for block in first.blocks]
    assert tuple(now) != first.generations
    assert bench.pinned() == 300
    bench.release()
    assert bench.held() == 0


def test_one_attempt_under_two_transfers() -> None:
    """The end of the first lease does not touch the second one."""
    bench = pinned()
    bench.prefill(job(prompt=(*PROMPT, 1)), "u", now=5.0)
    bench.attach("u", now=5.0)
    bench.release("t")
    bench.turn(5.0)
    assert (bench.pinned("t"), bench.pinned("u")) == (0, 3)
    bench.release("u")
    assert bench.held() == 0


def test_the_source_is_told_of_a_transfer_once() -> None:
    """Opening an id that has a user changes nothing but a counter."""
    bench = PrefillBench()
    bench.prefill(job())
    (sequence,) = bench.engine.waiting
    source: KvSource = bench.source
    other = bench.engine.sequence(job("other"), 1)
    source.open(transfer("t"), other, 0.0)
    assert source.user(transfer("t")) == sequence.key
    assert bench.count("ignored_source_frames") == 1
