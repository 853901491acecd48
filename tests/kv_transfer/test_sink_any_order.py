"""Any order of sources' verbs, reads, losses and time at the reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.owner import Owner
from protocol.ids import WorkerIdentity
from protocol.limits import Limits
from protocol.mail import PeerId
from tests.kv_transfer.sink_bench import (
    BLOCKS,
    LIMITS,
    LINK,
    OTHER_SOURCE,
    SIZE,
    SOURCE,
    SinkBench,
    transfer,
)

NAMES = st.sampled_from(("a", "b", "c", "d"))
SOURCES = {"a": SOURCE, "b": SOURCE, "c": OTHER_SOURCE, "d": OTHER_SOURCE}
ACTS = ("open", "attach", "publish", "honest", "withdraw", "cancel", "lose", "land", "fail", "reuse", "wait")
NUMBER = st.integers(-2, BLOCKS + 1)


@given(data=st.data())
def test_any_order_of_anything_leaves_every_block_accounted(data: st.DataObject) -> None:
    """Sources say anything in any order, reads land, fail or hang, links break, the role cancels:
    nothing raises, no block is free while something can land in it, and at the end nothing is held."""
    bench = SinkBench(
        Limits(post_bytes=2 * SIZE), budget=data.draw(st.sampled_from((SIZE, 4 * SIZE, 1 << 20)))
    )
    peers: dict[WorkerIdentity, PeerId] = {SOURCE: LINK, OTHER_SOURCE: PeerId(-2)}
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        now = _act(data, bench, peers, now)
        bench.sink.before_plan(now)
        for end in bench.sink.take_ends():
            if end.error is None:
                bench.pool.give_back(Owner.dest(end.transfer))
        bench.held()
    for name in SOURCES:
        bench.sink.cancel(transfer(name), now)
    bench.sink.before_plan(now + LIMITS.quarantine_s)
    bench.sink.before_plan(now + LIMITS.quarantine_s)
    assert bench.held() == {}
    assert not any(bench.sink.has(transfer(name)) for name in SOURCES)
    assert bench.transport.reads == {}
    assert not bench.sink.busy()


def _act(data: st.DataObject, bench: SinkBench, peers: dict[WorkerIdentity, PeerId], now: float) -> float:
    """One thing that somebody does; returns the time after it."""
    name = data.draw(NAMES)
    at = SOURCES[name]
    act = data.draw(st.sampled_from(ACTS))
    if act == "open" and not bench.sink.has(transfer(name)):
        count = data.draw(st.integers(1, 4))
        if bench.pool.available >= count and not bench.pool.held_by(Owner.dest(transfer(name))):
            bench.open(name, count, data.draw(st.integers(0, count - 1)), now, at)
            peers.update((dial.address.identity, dial.peer) for dial in bench.dials())
    elif act == "attach":
        bench.attach(name, peers[at], data.draw(st.sampled_from((at, SOURCE))), now)
    elif act == "publish":
        blocks = tuple(data.draw(st.lists(NUMBER, max_size=4)))
        bench.publish(
            *blocks,
            first=data.draw(st.integers(-1, 4)),
            last=data.draw(st.booleans()),
            name=name,
            now=now,
            peer=peers[at],
        )
    elif act == "honest":
        whole = len(bench.pool.held_by(Owner.dest(transfer(name))))
        bench.publish(*range(whole), last=True, name=name, now=now, peer=peers[at])
    elif act == "withdraw":
        bench.withdraw(name, now)
    elif act == "cancel":
        bench.sink.cancel(transfer(name), now)
    elif act == "lose":
        bench.sink.peer_lost(peers[at], now)
    elif act in ("land", "fail") and bench.transport.pending:
        read = data.draw(st.sampled_from(bench.transport.pending))
        bench.transport.land(read) if act == "land" else bench.transport.fail(read)
    elif act == "reuse":
        bench.remote.generations[data.draw(st.integers(0, BLOCKS - 1))] += 1
    elif act == "wait":
        now += data.draw(st.sampled_from((0.001, 0.5, 6.0, 31.0)))
    return now
