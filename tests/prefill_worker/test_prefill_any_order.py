"""Any order of commands, readers' verbs, losses and time on a prefill worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import PeerId
from protocol.messages import (
    Attached,
    Cancel,
    Prefix,
    Published,
    SourceFacts,
    Withdrawn,
    WorkerAddress,
)
from tests.kv_transfer.transport_scene import fresh_arena
from tests.prefill_worker.prefill_bench import (
    GATEWAY,
    LINK,
    ME,
    OTHER_GATEWAY,
    OTHER_LINK,
    OTHER_READER,
    READER,
    PrefillBench,
    job,
    key,
    transfer,
)

SOURCE = WorkerIdentity(WorkerId("decode-7"), Incarnation("s1"))
SOURCE_VERBS = ("attached", "published", "withdrawn", "lose source", "land", "fail")
COMMANDS = ("prefill", "fetch", "attach", "renew", "release", "cancel")
EVENTS = ("lose gateway", "lose reader", "wait", "step", "step")
PROMPTS = (tuple(range(10)), tuple(range(7)), (*range(8), 50, 51), tuple(range(60, 100)))


@given(data=st.data())
def test_nothing_raises_and_nothing_is_kept(data: st.DataObject) -> None:
    """Ids and keys are reused, links are mixed up, verbs come in any order: blocks add up after each
    of them, and once deadlines and leases are over nothing is held and a new prompt is answered."""
    bench = PrefillBench(data.draw(st.sampled_from((12, 30))), Limits(max_open_requests=4))
    bench.transport.remotes = {SOURCE: fresh_arena(30, bench.facts.block_bytes)}
    gateways = st.sampled_from((GATEWAY, OTHER_GATEWAY))
    readers = st.sampled_from(((LINK, READER), (OTHER_LINK, OTHER_READER), (OTHER_LINK, READER)))
    names = st.sampled_from(("a", "b", "c"))
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        act = data.draw(st.sampled_from((*COMMANDS, *EVENTS, "source")))
        name = data.draw(names)
        link, reader = data.draw(readers)
        if act == "prefill":
            told = job(
                data.draw(names),
                data.draw(st.sampled_from(PROMPTS)),
                data.draw(st.sampled_from((1, 5))),
                left_s=data.draw(st.sampled_from((0.0, 3.0, 60.0))),
            )
            bench.prefill(told, name, data.draw(gateways), now, _prefix(data.draw))
        elif act == "fetch":
            prompt = data.draw(st.sampled_from(PROMPTS))
            bench.fetch(name, prompt, link, reader, data.draw(st.integers(0, 3)), now)
        elif act == "source":
            _act_as_source(data.draw, bench, now)
        elif act == "attach":
            model = data.draw(st.sampled_from(("model", "model", "model", "other")))
            bench.attach(name, link, reader, data.draw(st.integers(-1, 5)), now, model)
        elif act == "renew":
            bench.renew(name, "unknown", peer=link, now=now)
        elif act == "release":
            bench.release(name, link, now)
        elif act == "cancel":
            bench.hear(Cancel(key(name)), data.draw(gateways), now)
        elif act == "lose gateway":
            bench.role.peer_lost(data.draw(gateways), now)
        elif act == "lose reader":
            bench.role.peer_lost(link, now)
        elif act == "wait":
            now += data.draw(st.sampled_from((0.1, 4.0, 11.0)))
        else:
            bench.turn(now)
        bench.held()
    bench.transport.land_all()
    for later in (100.0, 200.0, 300.0):
        bench.turn(now + later)
    assert bench.held() == 0
    bench.prefill(job("fresh"), "fresh", now=now + 300.0)
    bench.turn(now + 300.0)
    assert bench.pinned("fresh") == 3


def _prefix(draw: Callable[..., Any]) -> Prefix | None:
    """What a gateway believes."""
    if not draw(st.booleans()):
        return None
    source = WorkerAddress(draw(st.sampled_from((SOURCE, SOURCE, ME))), "127.0.0.1", 1)
    return Prefix(transfer(draw(st.sampled_from("abc"))), source, draw(st.integers(-1, 12)))


def _act_as_source(draw: Callable[..., Any], bench: PrefillBench, now: float) -> None:
    """A source of prefixes says or does something, and reads from it end."""
    act, name = draw(st.sampled_from(SOURCE_VERBS)), transfer(draw(st.sampled_from("abc")))
    link = PeerId(draw(st.integers(-3, -1)))
    if act == "attached":
        facts = SourceFacts(SOURCE, b"agent", 4096, bench.facts.block_bytes, 30, 8192)
        bench.hear(Attached(name, facts, 10.0), link, now)
    elif act == "published":
        blocks = tuple(draw(st.lists(st.integers(-1, 30), max_size=3)))
        told = Published(name, draw(st.integers(-1, 4)), blocks, (0,) * len(blocks), draw(st.booleans()))
        bench.hear(told, link, now)
    elif act == "withdrawn":
        bench.hear(Withdrawn(name, "stale_kv", "gone"), link, now)
    elif act == "lose source":
        bench.role.peer_lost(link, now)
    elif bench.transport.pending:
        read = draw(st.sampled_from(bench.transport.pending))
        bench.transport.land(read) if act == "land" else bench.transport.fail(read)
