"""The reader's half of a transfer, with a source that may say anything and reads that land at any time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.owner import Owner
from protocol.mail import PeerId
from protocol.messages import Attach, Published, Release
from tests.kv_transfer.sink_bench import (
    BLOCKS,
    LIMITS,
    LINK,
    OTHER_SOURCE,
    READER,
    SIZE,
    SOURCE,
    SinkBench,
    transfer,
)

RELEASE = Release(transfer("t"))


def test_a_transfer_from_attach_to_release() -> None:
    """Data first, generations after all of it, and the source is let go only once they are equal;
    what arrived is what the source holds, and stays with Owner.dest for the role."""
    bench = SinkBench()
    held = bench.open()
    assert bench.sent() == [Attach(transfer("t"), READER, "model", 0)]
    bench.attach()
    bench.publish(10, 11)
    bench.sink.before_plan(0.1)
    bench.publish(12, 13, first=2, last=True)
    bench.sink.before_plan(0.2)
    assert [len(read.pairs) for read in bench.transport.reads.values()] == [2, 2]
    assert bench.sink.busy()
    bench.transport.land_all()
    bench.sink.before_plan(0.3)
    assert bench.sink.take_ends() == []
    assert bench.sent() == [], "not before the generations are here"
    bench.transport.land_all()
    bench.sink.before_plan(0.4)
    assert bench.end().error is None
    assert bench.sent() == [RELEASE]
    assert bench.pool.held_by(Owner.dest(transfer("t"))) == held
    assert all((bench.arena.data[held[i]] == bench.remote.data[10 + i]).all() for i in range(4))
    assert not bench.sink.busy()
    assert not bench.sink.has(transfer("t"))
    assert (bench.count("transfers"), bench.count("transferred_blocks")) == (1, 4)
    assert bench.count("transferred_bytes") == 4 * SIZE
    assert bench.transport.reads == {}, "every record is forgotten"


def test_only_what_is_not_here_is_read() -> None:
    """Blocks that the prefix cache had are neither asked for nor written."""
    bench = SinkBench()
    held = bench.open(blocks=4, first=2)
    bench.attach()
    bench.publish(12, 13, first=2, last=True)
    bench.sink.before_plan(0.0)
    assert bench.transport.targets() == set(held[2:])


def test_a_block_that_changed_during_the_read_is_never_accepted() -> None:
    """One generation that moved on discards the whole read: the blocks come back unpublished."""
    bench = SinkBench()
    bench.reading()
    bench.transport.land_all()
    bench.sink.before_plan(0.1)
    bench.remote.generations[12] += 1
    bench.transport.land_all()
    bench.sink.before_plan(0.2)
    assert bench.error() == "stale_kv"
    assert bench.count("failed_verifications") == 1
    assert bench.held() == {}


def test_a_published_generation_that_never_was_is_not_accepted() -> None:
    """What the source says must be what its memory says."""
    bench = SinkBench()
    bench.open(blocks=1)
    bench.attach()
    bench.hear(Published(transfer("t"), 0, (3,), (99,), True))
    for now in (0.1, 0.2, 0.3):
        bench.sink.before_plan(now)
        bench.transport.land_all()
    assert bench.error() == "stale_kv"


def test_one_failed_read_keeps_the_blocks_until_its_siblings_ended() -> None:
    """A sibling may still write: quarantine first, back to the pool afterwards."""
    bench = SinkBench()
    bench.reading()
    first, second = bench.transport.pending
    bench.transport.fail(first)
    bench.sink.before_plan(0.1)
    assert bench.error() == "transfer_failed"
    assert bench.sent()[-1] == RELEASE
    assert bench.held() == {"quarantine": 4}
    assert bench.sink.has(transfer("t")), "its id stays taken"
    bench.transport.land(second)
    bench.sink.before_plan(0.2)
    assert bench.held() == {}
    assert not bench.sink.has(transfer("t"))


def in_hello(bench: SinkBench) -> None:
    """Asked."""
    bench.open()


def in_read_without_reads(bench: SinkBench) -> None:
    """Attached, nothing published."""
    bench.open()
    bench.attach()


def in_read(bench: SinkBench) -> None:
    """Some blocks are being read, more are to come."""
    bench.open()
    bench.attach()
    bench.publish(10, 11)
    bench.sink.before_plan(0.0)


def in_read_of_all(bench: SinkBench) -> None:
    """All blocks are being read."""
    bench.reading()


def in_verify(bench: SinkBench) -> None:
    """The generation numbers are being read."""
    bench.reading()
    bench.transport.land_all()
    bench.sink.before_plan(0.0)


def in_drain(bench: SinkBench) -> None:
    """Cancelled once, with reads in flight."""
    bench.reading()
    bench.sink.cancel(transfer("t"), 0.0)


State = Callable[[SinkBench], None]
STATES: tuple[State, ...] = (in_hello, in_read_without_reads, in_read, in_read_of_all, in_verify, in_drain)
WITH_READS: tuple[State, ...] = (in_read, in_read_of_all, in_verify, in_drain)


@pytest.mark.parametrize("state", STATES)
def test_cancel_in_every_state(state: State) -> None:
    """Blocks come back at once if nothing is in flight, else after it ended; the source hears
    Release once; the role hears nothing, for it asked; twice is harmless."""
    bench = SinkBench()
    state(bench)
    bench.sink.cancel(transfer("t"), 0.0)
    bench.sink.cancel(transfer("t"), 0.0)
    assert bench.held() == ({"quarantine": 4} if state in WITH_READS else {})
    bench.transport.land_all()
    bench.sink.before_plan(0.1)
    assert bench.held() == {}
    assert bench.sink.take_ends() == []
    assert bench.sent().count(RELEASE) == 1
    assert bench.transport.reads == {}


@pytest.mark.parametrize("state", WITH_READS)
def test_a_source_that_hangs_is_fenced_at_last(state: State) -> None:
    """After read_deadline_s the request is free to go elsewhere, while its blocks stay in quarantine;
    after quarantine_s the peer's agent is destroyed, and then, not before, the blocks come back."""
    bench = SinkBench()
    state(bench)
    late = LIMITS.read_deadline_s
    bench.sink.before_plan(late - 0.1)
    assert bench.sink.take_ends() == []
    bench.sink.before_plan(late)
    assert len(bench.sink.take_ends()) == (0 if state is in_drain else 1)
    assert bench.held() == {"quarantine": 4}
    since = 0.0 if state is in_drain else late
    bench.sink.before_plan(since + LIMITS.quarantine_s - 0.1)
    assert bench.transport.fenced == []
    bench.sink.before_plan(since + LIMITS.quarantine_s)
    assert bench.transport.fenced == [SOURCE]
    bench.sink.before_plan(since + LIMITS.quarantine_s + 0.1)
    assert bench.held() == {}
    assert bench.count("fenced_peers") == 1


def test_bytes_that_land_after_the_deadline_touch_no_other_owner() -> None:
    """A paused source that goes on after its reader gave up writes into quarantine."""
    bench = SinkBench()
    held = bench.reading()
    bench.sink.before_plan(LIMITS.read_deadline_s)
    assert not set(bench.open("other", BLOCKS - 4, now=LIMITS.read_deadline_s)) & set(held)
    bench.transport.land_all()
    bench.sink.before_plan(LIMITS.read_deadline_s + 1.0)
    assert bench.held() == {"dest": BLOCKS - 4}


def test_the_fence_hurts_no_other_source() -> None:
    """Reads from another source go on when one peer's agent is destroyed."""
    bench = SinkBench()
    bench.reading()
    bench.sink.before_plan(LIMITS.read_deadline_s)
    later = LIMITS.read_deadline_s + LIMITS.quarantine_s
    bench.open("u", 2, at=OTHER_SOURCE, now=later)
    bench.attach("u", PeerId(-2), OTHER_SOURCE, later)
    bench.publish(1, 2, last=True, name="u", peer=PeerId(-2), now=later)
    for step in range(3):
        bench.sink.before_plan(later + step * 0.1)
        for read in bench.transport.pending:
            if bench.transport.reads[read].source == OTHER_SOURCE:
                bench.transport.land(read)
    assert bench.transport.fenced == [SOURCE]
    ends = bench.sink.take_ends()
    assert (ends[-1].transfer, ends[-1].error) == (transfer("u"), None)
    assert bench.held() == {"dest": 2}


@pytest.mark.parametrize("state", STATES)
def test_a_lost_link_in_every_state(state: State) -> None:
    """What is published can still be read and verified; where more would have to come, the transfer
    fails at once. The next transfer dials again."""
    bench = SinkBench()
    state(bench)
    bench.sink.peer_lost(LINK, 0.1)
    if state in (in_hello, in_read_without_reads, in_read):
        assert bench.error() == "worker_lost"
    for now in (0.2, 0.3, 0.4):
        bench.transport.land_all()
        bench.sink.before_plan(now)
    ends = bench.sink.take_ends()
    assert [end.error for end in ends] == ([None] if state in (in_read_of_all, in_verify) else [])
    bench.dials()
    bench.open("again", 1, now=1.0)
    assert [dial.peer for dial in bench.dials()] == [PeerId(-2)]
