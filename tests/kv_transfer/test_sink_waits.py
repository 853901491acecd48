"""The sink and time: links shared, answers that do not come, leases kept alive, the end."""

from __future__ import annotations

from protocol.mail import PeerId
from protocol.messages import Renew
from tests.kv_transfer.sink_bench import (
    LIMITS,
    OTHER_SOURCE,
    SOURCE,
    SinkBench,
    transfer,
)
from tests.kv_transfer.test_sink import in_read, in_verify


def test_one_link_for_all_transfers_of_one_source() -> None:
    """And another one for another incarnation, under a number never used before."""
    bench = SinkBench()
    bench.open("a", 1)
    bench.open("b", 1)
    bench.open("c", 1, at=OTHER_SOURCE)
    assert [(dial.peer, dial.address.identity) for dial in bench.dials()] == [
        (PeerId(-1), SOURCE),
        (PeerId(-2), OTHER_SOURCE),
    ]


def test_a_source_that_does_not_answer() -> None:
    """peer_deadline_s after the question the request is free to go elsewhere."""
    bench = SinkBench()
    bench.open(now=100.0)
    bench.sink.before_plan(100.0 + LIMITS.peer_deadline_s - 0.1)
    assert bench.sink.take_ends() == []
    bench.sink.before_plan(100.0 + LIMITS.peer_deadline_s)
    assert bench.error() == "transfer_failed"
    assert bench.held() == {}


def test_waiting_for_a_long_prefill_is_no_failure() -> None:
    """A read has a deadline, a prompt that is computed slowly has none here; nor do early reads of
    it make a later one younger."""
    bench = SinkBench()
    bench.open(blocks=6)
    bench.attach()
    for turn in range(3):
        bench.publish(turn * 2, turn * 2 + 1, first=turn * 2, last=turn == 2, now=turn * 100.0)
        bench.sink.before_plan(turn * 100.0)
        bench.transport.land_all()
        bench.sink.before_plan(turn * 100.0 + 1.0)
    bench.transport.land_all()
    bench.sink.before_plan(202.0)
    assert bench.end().error is None


def test_a_read_that_hangs_is_noticed_while_the_source_goes_on_publishing() -> None:
    """New blocks that land do not extend the deadline of a read that does not."""
    bench = SinkBench()
    bench.open(blocks=20)
    bench.attach()
    for second in range(11):
        bench.publish(second, first=second, now=float(second))
        bench.sink.before_plan(float(second))
        for read in bench.transport.pending[1:]:
            bench.transport.land(read)
    assert bench.error() == "transfer_failed"


def test_leases_are_renewed_while_they_are_needed() -> None:
    """Every renew_every_s, all transfers of one source in one frame; none once nobody reads."""
    bench = SinkBench()
    bench.reading("a", 2)
    bench.reading("b", 2)
    bench.sent()
    bench.sink.before_plan(LIMITS.renew_every_s - 0.1)
    assert bench.sent() == []
    bench.sink.before_plan(LIMITS.renew_every_s)
    assert bench.sent() == [Renew((transfer("a"), transfer("b")))]
    bench.sink.cancel(transfer("a"), 3.0)
    bench.sent()
    bench.sink.before_plan(LIMITS.renew_every_s * 2)
    assert bench.sent() == [Renew((transfer("b"),))]


def test_withdrawn_ends_a_transfer_unless_all_is_read() -> None:
    """Before the last read a withdrawal fails it; in VERIFY the generations decide."""
    bench = SinkBench()
    in_read(bench)
    bench.withdraw()
    assert bench.error() == "transfer_failed"
    bench.transport.land_all()
    bench.sink.before_plan(0.1)
    assert bench.held() == {}
    other = SinkBench()
    in_verify(other)
    other.withdraw()
    other.transport.land_all()
    other.sink.before_plan(0.1)
    assert other.end().error is None


def test_close_ends_the_transport() -> None:
    """Nothing lands afterwards."""
    bench = SinkBench()
    bench.sink.close()
    assert bench.transport.closed
