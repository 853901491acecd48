"""Any order of commands, readers' verbs, losses and time on a prefill worker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.limits import Limits
from protocol.messages import Cancel
from tests.prefill_worker.prefill_bench import (
    GATEWAY,
    LINK,
    OTHER_GATEWAY,
    OTHER_LINK,
    OTHER_READER,
    READER,
    PrefillBench,
    job,
    key,
)

COMMANDS = ("prefill", "attach", "renew", "release", "cancel")
EVENTS = ("lose gateway", "lose reader", "wait", "step", "step")
PROMPTS = (tuple(range(10)), tuple(range(7)), (*range(8), 50, 51), tuple(range(60, 100)))


@given(data=st.data())
def test_nothing_raises_and_nothing_is_kept(data: st.DataObject) -> None:
    """Ids and keys are reused, links are mixed up, verbs come in any order: blocks add up after each
    of them, and once deadlines and leases are over nothing is held and a new prompt is answered."""
    bench = PrefillBench(data.draw(st.sampled_from((12, 30))), Limits(max_open_requests=4))
    gateways = st.sampled_from((GATEWAY, OTHER_GATEWAY))
    readers = st.sampled_from(((LINK, READER), (OTHER_LINK, OTHER_READER), (OTHER_LINK, READER)))
    names = st.sampled_from(("a", "b", "c"))
    now = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        act = data.draw(st.sampled_from((*COMMANDS, *EVENTS)))
        name = data.draw(names)
        link, reader = data.draw(readers)
        if act == "prefill":
            told = job(
                data.draw(names),
                data.draw(st.sampled_from(PROMPTS)),
                data.draw(st.sampled_from((1, 5))),
                left_s=data.draw(st.sampled_from((0.0, 3.0, 60.0))),
            )
            bench.prefill(told, name, data.draw(gateways), now)
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
    for later in (100.0, 200.0, 300.0):
        bench.turn(now + later)
    assert bench.held() == 0
    bench.prefill(job("fresh"), "fresh", now=now + 300.0)
    bench.turn(now + 300.0)
    assert bench.pinned("fresh") == 3
