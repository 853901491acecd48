"""Cached blocks that a reader asks for are pinned under a lease, like those of any transfer."""

from __future__ import annotations

import pytest

from engine.owner import Owner, OwnerKind
from protocol.errors import WorkerLeaving
from protocol.ids import BlockId
from protocol.mail import Inbound, Outbound
from protocol.messages import Attached, Fetch, Frame, Published, Refused, Withdrawn
from tests.prefill_worker.prefill_bench import (
    GATEWAY,
    LIMITS,
    LINK,
    OTHER_LINK,
    OTHER_READER,
    READER,
    PrefillBench,
    job,
    transfer,
)
from worker.farewell import Farewell

LONG = tuple(range(40))


def cached(blocks: int = 40) -> PrefillBench:
    """A bench that holds the KV of LONG, and that nobody reads."""
    bench = PrefillBench(blocks)
    bench.prefill(job(prompt=LONG), "earlier")
    bench.turn()
    bench.turn(LIMITS.lease_s)
    bench.role.take_outbox()
    assert bench.held() == 0
    return bench


def answer(bench: PrefillBench, link: int = LINK) -> Published:
    """Where the blocks are; after the facts of the source."""
    attached, published = bench.sent(LINK if link == LINK else OTHER_LINK)
    assert attached == Attached(transfer("f"), bench.facts, LIMITS.lease_s)
    assert isinstance(published, Published) and published.last
    return published


def refused(frames: list[Frame]) -> list[str]:
    """Codes of the withdrawals."""
    return [frame.code for frame in frames if isinstance(frame, Withdrawn)]


def test_the_longest_run_is_pinned() -> None:
    """From the first block asked for, with the generations of now; released, it is cached again."""
    bench = cached()
    bench.fetch(prompt=(*LONG[:24], 1, 1, 1, 1), first=2)
    told = answer(bench)
    pinned = bench.engine.pool.held_by(Owner.pinned(transfer("f")))
    assert (told.first_block, told.blocks) == (2, pinned)
    assert len(pinned) == 4
    assert told.generations == tuple(map(bench.engine.pool.generation, pinned))
    bench.release("f")
    assert bench.held() == 0
    bench.fetch(prompt=LONG)
    assert len(answer(bench).blocks) == 10, "nothing was lost by it"


def test_a_source_that_holds_nothing_says_so() -> None:
    """At once: the reader need not wait for a deadline."""
    bench = PrefillBench()
    bench.fetch()
    assert answer(bench).blocks == ()
    assert bench.held() == 0


def test_asked_twice_it_answers_twice_and_pins_once() -> None:
    """Over a new link too; the lease begins again, and only the new link counts."""
    bench = cached()
    bench.fetch(prompt=LONG)
    first = answer(bench)
    bench.fetch(prompt=LONG, first=3, peer=OTHER_LINK, now=8.0)
    assert answer(bench, OTHER_LINK) == first
    assert bench.pinned("f") == 10
    bench.release("f", LINK)
    bench.turn(8.0 + LIMITS.lease_s - 0.1)
    assert bench.pinned("f") == 10
    bench.renew("f", peer=OTHER_LINK, now=18.0)
    bench.turn(18.0 + LIMITS.lease_s)
    assert bench.held() == 0
    assert refused(bench.sent(OTHER_LINK)) == ["stale_kv"]


def test_readers_cannot_pin_more_than_their_share() -> None:
    """Of all leases together; and never so much that the largest sequence could not finish."""
    bench = cached(20)
    bench.fetch(prompt=LONG)
    assert len(answer(bench).blocks) == LIMITS.max_pinned_share * 20
    bench.fetch("g", LONG)
    assert bench.pinned("g") == 0
    bench.release("f")
    bench.release("g")
    bench.sent(LINK)
    bench.prefill(job("big", tuple(range(100, 100 + 17 * 4)), 1), "big")
    bench.fetch(prompt=LONG)
    assert len(answer(bench).blocks) == 20 - 17


def test_a_pinned_block_is_not_evicted() -> None:
    """What a reader reads stays what it is, whoever needs room."""
    bench = cached(20)
    bench.fetch(prompt=LONG)
    told = answer(bench)
    bench.prefill(job("new", tuple(range(500, 548)), 5), "new")
    bench.turn()
    assert tuple(bench.engine.pool.generation(BlockId(one)) for one in told.blocks) == told.generations
    assert bench.engine.pool.held(OwnerKind.PINNED) == 8 + 12


@pytest.mark.parametrize("case", ["model", "reader", "attached", "computing"])
def test_an_id_that_means_something_else_is_refused(case: str) -> None:
    """Another model, another reader, or an id under which a request's KV is read: nothing changes."""
    bench = cached()
    if case == "model":
        bench.fetch(prompt=LONG, model="other")
    elif case == "reader":
        bench.fetch(prompt=LONG, peer=OTHER_LINK, reader=OTHER_READER)
        bench.fetch(prompt=LONG)
    elif case == "attached":
        bench.attach("f")
        bench.sent(LINK)
        bench.fetch(prompt=LONG)
    else:
        bench.prefill(job("r2"), "f")
        bench.fetch(prompt=LONG)
    assert refused(bench.sent(LINK)) == ["transfer_failed"]
    bench.turn()
    bench.turn(2 * LIMITS.max_place_wait_s)
    assert bench.held() == 0


def test_the_id_of_a_fetch_is_taken() -> None:
    """For a request and for an Attach, until it is released."""
    bench = cached()
    bench.fetch(prompt=LONG)
    bench.sent(LINK)
    bench.attach("f")
    assert refused(bench.sent(LINK)) == ["transfer_failed"]
    bench.prefill(job("r2"), "f")
    (said,) = bench.sent(GATEWAY)
    assert isinstance(said, Refused) and said.code == "transfer_failed"
    assert bench.pinned("f") == 10
    bench.release("f")
    bench.prefill(job("r2"), "f")
    assert not isinstance(bench.sent(GATEWAY)[0], Refused)


def test_a_worker_that_leaves_gives_no_more() -> None:
    """A reader that asks is told at once, and computes."""
    farewell = Farewell()
    mail = Inbound(LINK, Fetch(transfer("f"), READER, "model", 0, ()))
    assert farewell.refusal(mail) is None
    farewell.begin()
    said = farewell.refusal(mail)
    assert isinstance(said, Outbound) and isinstance(said.frame, Withdrawn)
    assert (said.peer, said.frame.transfer, said.frame.code) == (LINK, transfer("f"), WorkerLeaving.code)
