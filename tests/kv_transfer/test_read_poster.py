"""How much is read at once, and that nobody waits for a source that hangs."""

from __future__ import annotations

from kv_transfer.read_poster import STALL_S
from protocol.mail import PeerId
from tests.kv_transfer.sink_bench import LIMITS, OTHER_SOURCE, SIZE, SOURCE, SinkBench, transfer


def sizes(bench: SinkBench) -> list[int]:
    """Blocks of each read in flight."""
    return [len(bench.transport.reads[read].pairs) for read in bench.transport.pending]


def test_posts_are_small_and_within_the_budget() -> None:
    """Two blocks a post, and no more posts than the budget has room for, whoever wants them."""
    bench = SinkBench(budget=5 * SIZE)
    bench.reading("a", 3)
    bench.reading("b", 6)
    assert sizes(bench) == [2, 1, 2]
    bench.transport.land(bench.transport.pending[0])
    bench.sink.before_plan(0.1)
    assert sizes(bench) == [1, 2, 2]


def test_at_least_one_block_is_read_whatever_the_budget() -> None:
    """A budget of a byte still lets the transfer go on, block by block."""
    bench = SinkBench(budget=1)
    bench.reading("a", 3)
    for _ in range(3):
        assert sizes(bench) == [1]
        bench.transport.land_all()
        bench.sink.before_plan(0.1)
    bench.transport.land_all()
    bench.sink.before_plan(0.2)
    assert bench.end().error is None


def test_a_source_that_hangs_does_not_use_up_the_budget_of_the_others() -> None:
    """Its reads count for STALL_S; then others are read, while it gets no more; its quarantine does
    not hold them up either."""
    bench = SinkBench(budget=2 * SIZE)
    bench.reading("hung", 4)
    other = PeerId(-2)
    bench.open("other", 4, at=OTHER_SOURCE)
    bench.attach("other", other, OTHER_SOURCE)
    bench.publish(1, 2, 3, 4, last=True, name="other", peer=other)
    bench.sink.before_plan(STALL_S)
    assert [bench.transport.reads[read].source for read in bench.transport.pending] == [SOURCE]
    bench.sink.before_plan(STALL_S + 0.1)
    assert [bench.transport.reads[read].source for read in bench.transport.pending] == [SOURCE, OTHER_SOURCE]
    bench.transport.land(bench.transport.pending[1])
    bench.sink.before_plan(LIMITS.read_deadline_s)
    assert bench.error() == "transfer_failed"
    bench.transport.land(bench.transport.pending[1])
    bench.sink.before_plan(LIMITS.read_deadline_s + 0.1)
    bench.transport.land(bench.transport.pending[1])
    bench.sink.before_plan(LIMITS.read_deadline_s + 0.2)
    assert (bench.end().transfer, sizes(bench)) == (transfer("other"), [2])
