"""The router: pure placement by predicted seconds."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence as Seq

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.load_report import LoadReport
from protocol.messages import WorkerAddress, WorkerRecord
from router.load_router import BEST_OF_EACH, DEFAULT_TOKENS_PER_S, Ask, LoadRouter
from router.route_plan import RoutePlan, WorkerView

MAX_WAIT_S = 10.0
SPEED = 1000.0
ROUTER = LoadRouter(MAX_WAIT_S)
NOBODY: frozenset[WorkerIdentity] = frozenset()
ASK = Ask(tokens=100, max_total=200)


def identity(name: str) -> WorkerIdentity:
    """A worker's first life."""
    return WorkerIdentity(WorkerId(name), Incarnation("1"))


def view(
    name: str,
    *,
    queued: int = 0,
    running: int = 0,
    free: int = 1000,
    total: int = 1000,
    open_tokens: int = 0,
    open_requests: int = 0,
    reported: bool = True,
) -> WorkerView:
    """A worker; names that begin with p are prefill workers."""
    role = "prefill" if name.startswith("p") else "decode"
    record = WorkerRecord(WorkerAddress(identity(name), "h", 1), role, "m", 4096, total, 16, "f")
    load = LoadReport(running, 0, queued, total, free, (), 1, 0.01, SPEED) if reported else None
    return WorkerView(record, load, open_tokens, open_requests)


def names(plans: Seq[RoutePlan]) -> list[tuple[str, str | None]]:
    """(decode, prefill) of each plan."""
    return [(plan.decode.worker, plan.prefill.worker if plan.prefill else None) for plan in plans]


def test_the_shortest_queues_come_first() -> None:
    """Queue of the prefill worker, harm to the decode worker's batch, and the prompt itself."""
    workers = [view("p0", queued=3000), view("p1", queued=1000), view("d0", running=9), view("d1", running=3)]
    plans = ROUTER.plans(ASK, workers, NOBODY)
    assert names(plans) == [("d1", "p1"), ("d0", "p1"), ("d1", "p0"), ("d0", "p0")]
    assert abs(plans[0].predicted_s - (0.03 + 1.0 + 0.1)) < 1e-9


def test_what_this_gateway_sent_counts_before_any_report_does() -> None:
    """A burst is spread though no worker has reported yet, and an older report hides nothing."""
    fresh = [view("p0", open_tokens=500, reported=False), view("p1", reported=False), view("d0")]
    assert names(ROUTER.plans(ASK, fresh, NOBODY))[0] == ("d0", "p1")
    stale = [view("p0", open_tokens=500), view("p1", queued=100), view("d0", open_requests=4), view("d1")]
    assert names(ROUTER.plans(ASK, stale, NOBODY))[0] == ("d1", "p1")


def test_a_prefill_worker_with_a_long_queue_is_waited_for() -> None:
    """Not over-queued: beyond max_reserved_wait_s there is no plan on it, nor a local one instead."""
    at_most = int(MAX_WAIT_S * SPEED)
    assert names(ROUTER.plans(ASK, [view("p0", queued=at_most), view("d0")], NOBODY)) == [("d0", "p0")]
    assert ROUTER.plans(ASK, [view("p0", queued=at_most + 1), view("d0")], NOBODY) == ()


def test_local_plans_only_where_no_prefill_worker_can_be_used() -> None:
    """None in the pool, none that can hold the prompt, or all of them failed this request."""
    pool = [view("p0"), view("p1", total=3)]
    decode = view("d0")
    assert names(ROUTER.plans(ASK, [decode], NOBODY)) == [("d0", None)]
    assert names(ROUTER.plans(ASK, [pool[1], decode], NOBODY)) == [("d0", None)]
    assert names(ROUTER.plans(ASK, [*pool, decode], frozenset({identity("p0")}))) == [("d0", None)]
    assert names(ROUTER.plans(ASK, [*pool, decode], frozenset({identity("p1")}))) == [("d0", "p0")]


def test_a_local_plan_costs_the_prompts_that_wait_there() -> None:
    """The decode worker computes them first."""
    plans = ROUTER.plans(ASK, [view("d0", queued=2000), view("d1", running=20)], NOBODY)
    assert names(plans) == [("d1", None), ("d0", None)]
    assert abs(plans[1].predicted_s - 2.1) < 1e-9


def test_a_decode_worker_that_failed_is_used_only_if_there_is_no_other() -> None:
    """Even when the other has no room now: then the request waits."""
    avoid = frozenset({identity("d0")})
    prefill = view("p0")
    assert names(ROUTER.plans(ASK, [prefill, view("d0"), view("d1", running=50)], avoid)) == [("d1", "p0")]
    assert ROUTER.plans(ASK, [prefill, view("d0"), view("d1", free=0)], avoid) == ()
    assert names(ROUTER.plans(ASK, [prefill, view("d0")], avoid)) == [("d0", "p0")]


def test_a_request_that_no_worker_can_ever_hold_is_sent_to_be_refused() -> None:
    """The worker knows why, at once; where one worker is large enough, the small ones are left out."""
    small, large = view("d0", total=10, free=0), view("d1", running=9)
    assert names(ROUTER.plans(ASK, [view("p0"), small], NOBODY)) == [("d0", "p0")]
    assert names(ROUTER.plans(ASK, [view("p0"), small, large], NOBODY)) == [("d1", "p0")]


def test_the_last_resort_is_an_idle_decode_worker() -> None:
    """One that has room and few prompts before this one, whatever failed there before."""
    long = int(MAX_WAIT_S * SPEED) + 1
    workers = [view("p0"), view("d0"), view("d1", free=0), view("d2", queued=long), view("d3", running=5)]
    assert names(ROUTER.last_resort(ASK, workers)) == [("d0", None), ("d3", None)]


def test_planning_is_flat_in_the_number_of_workers() -> None:
    """A thousand workers: a bounded number of plans in well under 10 ms of CPU time."""
    dice = random.Random(1)
    workers = [view(f"{role}{i}", queued=dice.randrange(9000)) for role in "pd" for i in range(500)]
    seconds = []
    for _ in range(20):
        began = time.thread_time()
        plans = ROUTER.plans(ASK, workers, NOBODY)
        seconds.append(time.thread_time() - began)
    assert len(plans) == BEST_OF_EACH**2
    assert min(seconds) < 0.005


pools = st.lists(
    st.builds(
        lambda role, number, **load: view(f"{role}{number}", **load),
        st.sampled_from("pd"),
        st.integers(0, 12),
        queued=st.integers(0, 20_000),
        running=st.integers(0, 40),
        free=st.sampled_from((0, 5, 7, 1000)),
        total=st.sampled_from((5, 1000)),
        open_tokens=st.integers(0, 20_000),
        open_requests=st.integers(0, 40),
        reported=st.booleans(),
    ),
    unique_by=lambda made: made.identity,
    max_size=8,
)
avoided = st.frozensets(st.builds(identity, st.sampled_from([f"{r}{i}" for r in "pd" for i in range(6)])))
asks = st.builds(Ask, tokens=st.integers(1, 120), max_total=st.integers(121, 400))


@given(asks, pools, avoided)
def test_plans_depend_on_nothing_but_what_is_known(
    ask: Ask, workers: list[WorkerView], avoid: frozenset[WorkerIdentity]
) -> None:
    """The order in which workers are listed changes nothing."""
    reordered = workers[::-2] + workers[-2::-2][::-1]
    assert sorted(w.record.worker for w in reordered) == sorted(w.record.worker for w in workers)
    assert ROUTER.plans(ask, workers, avoid) == ROUTER.plans(ask, reordered, avoid)
    assert ROUTER.last_resort(ask, workers) == ROUTER.last_resort(ask, reordered)


@given(asks, pools, avoided)
def test_plans_keep_their_promises(
    ask: Ask, workers: list[WorkerView], avoid: frozenset[WorkerIdentity]
) -> None:
    """Cheapest first, never twice, bounded; right roles; nobody avoided without need; no long queue."""
    by_identity = {worker.identity: worker for worker in workers}
    decodes = [
        w for w in workers if w.record.role == "decode" and w.record.total_blocks * 16 >= ask.max_total
    ]
    plans = ROUTER.plans(ask, workers, avoid)
    assert [plan.predicted_s for plan in plans] == sorted(plan.predicted_s for plan in plans)
    assert len(set(names(plans))) == len(plans) <= BEST_OF_EACH**2
    for plan in plans:
        assert by_identity[plan.decode].record.role == "decode"
        if plan.decode in avoid and decodes:
            assert all(worker.identity in avoid for worker in decodes)
        if plan.prefill is not None:
            chosen = by_identity[plan.prefill]
            assert chosen.record.role == "prefill"
            assert plan.prefill not in avoid
            speed = DEFAULT_TOKENS_PER_S if chosen.load is None else SPEED
            assert chosen.open_tokens / speed <= MAX_WAIT_S
    if not decodes and not any(worker.record.role == "decode" for worker in workers):
        assert plans == ()


def test_what_was_sent_since_the_last_report_takes_room() -> None:
    """Prompts on their way, or waiting there without blocks, are not seen in the report: a worker is not
    sent more than it has room for."""
    assert ROUTER.plans(ASK, [view("d0", free=100, open_tokens=100 * 16 - ASK.tokens)], NOBODY)
    assert ROUTER.plans(ASK, [view("d0", free=100, open_tokens=100 * 16 - ASK.tokens + 1)], NOBODY) == ()


@given(asks, pools)
def test_one_worker_less_is_never_a_crash_and_local_needs_no_prefill_worker(
    ask: Ask, workers: list[WorkerView]
) -> None:
    """Without prefill workers there is a local plan wherever a decode worker has room."""
    decodes = [worker for worker in workers if worker.record.role == "decode"]
    plans = ROUTER.plans(ask, decodes, NOBODY)
    assert all(plan.prefill is None for plan in plans)
    roomy = [
        w
        for w in decodes
        if w.record.total_blocks * 16 >= ask.max_total
        and (w.load is None or w.load.free_blocks * 16 >= ask.tokens + w.open_tokens)
    ]
    assert bool(plans) or not roomy
