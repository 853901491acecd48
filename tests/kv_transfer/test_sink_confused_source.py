"""A source that says what cannot be, says it twice, or is somebody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from protocol.mail import PeerId
from protocol.messages import Attached, Cancel, Published, SourceFacts
from tests.kv_transfer.sink_bench import (
    BLOCKS,
    OTHER_SOURCE,
    SIZE,
    SinkBench,
    transfer,
)


@pytest.mark.parametrize(
    "facts",
    [
        lambda bench: bench.facts(WorkerIdentity(WorkerId("prefill-0"), Incarnation("p2"))),
        lambda bench: bench.facts(OTHER_SOURCE),
        lambda bench: bench.facts(block_bytes=SIZE * 2),
    ],
)
def test_another_life_or_layout_is_not_read(facts: Callable[[SinkBench], SourceFacts]) -> None:
    """References to a former life of the source are void; so is memory that is laid out otherwise."""
    bench = SinkBench()
    bench.open()
    bench.hear(Attached(transfer("t"), facts(bench), 10.0))
    assert bench.error() == "stale_kv"
    assert bench.transport.connected == []
    assert bench.held() == {}


@pytest.mark.parametrize(
    ("first", "blocks", "generations", "last"),
    [
        pytest.param(0, (BLOCKS,), (1,), False, id="a block beyond the source's memory"),
        pytest.param(0, (-1,), (1,), False, id="a negative block"),
        pytest.param(0, (1, 2), (1,), False, id="too few generations"),
        pytest.param(0, (1,), (1, 2), False, id="too many generations"),
        pytest.param(0, (1, 2, 3, 4, 5), (1,) * 5, False, id="more blocks than the prompt has"),
        pytest.param(-3, (1, 2, 3, 4), (1,) * 4, False, id="a negative place"),
        pytest.param(1, (1,), (1,), False, id="a gap: what is missing would never come"),
        pytest.param(9, (), (), True, id="an end beyond the end"),
        pytest.param(0, (1, 2), (1, 1), True, id="an end before the end"),
    ],
)
def test_published_blocks_that_cannot_be(
    first: int, blocks: tuple[int, ...], generations: tuple[int, ...], last: bool
) -> None:
    """The transfer fails with a typed error, and nothing of that frame is read."""
    bench = SinkBench()
    bench.open()
    bench.attach()
    bench.hear(Published(transfer("t"), first, blocks, generations, last))
    assert bench.error() == "transfer_failed"
    assert bench.transport.reads == {}
    assert bench.held() == {}


def test_doubled_and_late_frames_are_counted_and_ignored() -> None:
    """Every frame twice, and all of them again after the end: one transfer, one end."""
    bench = SinkBench()
    bench.open()
    for _ in range(2):
        bench.attach()
    for _ in range(2):
        bench.publish(10, 11)
    for _ in range(2):
        bench.publish(10, 11, 12, 13, last=True)
    assert bench.count("ignored_sink_frames") == 2
    for now in (0.0, 0.1, 0.2):
        bench.sink.before_plan(now)
        bench.transport.land_all()
    bench.sink.before_plan(0.3)
    assert bench.end().error is None
    assert bench.count("transferred_blocks") == 4
    bench.attach()
    bench.publish(10, 11)
    bench.withdraw()
    assert bench.count("ignored_sink_frames") == 5
    assert bench.sink.take_ends() == []


def test_frames_of_strangers_are_ignored() -> None:
    """Only the link that was asked may answer; a frame that no source sends is left alone."""
    bench = SinkBench()
    bench.open()
    bench.hear(Attached(transfer("t"), bench.facts(), 10.0), peer=PeerId(7))
    bench.hear(Attached(transfer("unknown"), bench.facts(), 10.0))
    bench.publish(10)
    assert bench.count("ignored_sink_frames") == 3, "published before attached is nothing either"
    bench.hear(Cancel(AttemptKey(RequestId("r"), 1)))
    assert bench.transport.connected == []
