"""The joint plan is the one predicted cheapest for all."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from router.cluster_view import ClusterView
from router.joint_ask import JointAsk
from router.joint_planner import joint_plans
from tests.router.views import idle_view

BLOCK = 16


def ask(tokens: int, matched: list[int], seed: int = 1, slack_s: float = 1e9, itl_s: float = 1e9) -> JointAsk:
    return JointAsk(tokens, np.array(matched, dtype=np.int64), BLOCK, seed, slack_s, itl_s)


def test_a_queue_sends_the_prompt_elsewhere() -> None:
    """Of two prefill workers the one without a queue computes."""
    view = idle_view(2, 1)
    view.queued_tokens[0] = 50_000.0
    view.running[2] = 30.0
    best = joint_plans(replace(ask(4000, [0, 0, 0]), itl_s=0.05), view)[0]
    assert (best.prefill, best.decode) == (1, 2)


def test_full_prefill_pool_means_local() -> None:
    """With long queues at every prefill worker and an idle decode worker the prompt is computed there."""
    view = idle_view(2, 1)
    view.queued_tokens[:2] = 50_000.0
    best = joint_plans(ask(4000, [0, 0, 0]), view)[0]
    assert best.prefill is None


def test_running_sequences_keep_the_prompt_away() -> None:
    """A batch that would be slowed weighs more than a short wait at a prefill worker."""
    view = idle_view(1, 1)
    view.queued_tokens[0] = 2000.0
    view.running[1] = 40.0
    tight = ask(8000, [0, 0], itl_s=0.05)
    assert joint_plans(tight, view)[0].prefill == 0


def test_a_pause_counts_by_the_promise() -> None:
    """The same batch: it pauses for a prompt when it is far ahead of its promise, not when it is near it."""
    view = idle_view(1, 1)
    view.queued_tokens[0] = 20_000.0
    view.running[1] = 10.0
    assert joint_plans(ask(4000, [0, 0], itl_s=1.0), view)[0].prefill is None
    assert joint_plans(ask(4000, [0, 0], itl_s=0.03), view)[0].prefill == 0


def test_decode_workers_help_when_many_wait() -> None:
    """A prompt that would be computed by the prefill pool is computed among running sequences if that pool
    has a line of others before it."""
    view = idle_view(1, 1)
    view.queued_tokens[0] = 2000.0
    view.running[1] = 10.0
    tight = ask(4000, [0, 0], itl_s=0.05)
    assert joint_plans(tight, view)[0].prefill == 0
    assert joint_plans(tight, replace(view, waiting=40))[0].prefill is None


def test_the_late_plan_ranks_behind() -> None:
    """Deadline first: a plan in time is taken even where it harms more."""
    view = idle_view(1, 1)
    view.queued_tokens[0] = 20_000.0
    view.running[1] = 40.0
    assert joint_plans(ask(8000, [0, 0], slack_s=1.8, itl_s=0.05), view)[0].prefill is None
    assert joint_plans(ask(8000, [0, 0], slack_s=9.0, itl_s=0.05), view)[0].prefill == 0


def test_what_is_cheaper_to_pull_is_not_computed() -> None:
    """A prefix that lies at a busy worker is pulled by an idle one."""
    view = idle_view(2, 1)
    view.queued_tokens[0] = 50_000.0
    view.running[2] = 40.0
    best = joint_plans(ask(8000, [490, 0, 0], itl_s=0.05), view)[0]
    assert (best.prefill, best.source) == (1, 0)


def test_slow_links_are_not_pulled_over() -> None:
    """Where computing is sooner than pulling, nothing is pulled."""
    view = idle_view(2, 1)
    view.queued_tokens[0] = 50_000.0
    for _ in range(50):
        view.pulls.observe(1, 0, 100, 1.0)
        view.pulls.observe(2, 0, 100, 1.0)
    assert joint_plans(ask(8000, [490, 0, 0]), view)[0].source is None


def test_no_room_means_no_plan() -> None:
    """Decode workers without KV room are not planned on."""
    assert joint_plans(ask(8000, [0, 0]), idle_view(1, 1, free_tokens=8000.0)) == ()


def test_equals_share_a_burst() -> None:
    """Requests that see the same idle cluster spread over all equal workers, by their seeds alone."""
    view = idle_view(4, 4)
    asks = [ask(1000, [0] * 8, seed) for seed in range(400)]
    used = Counter(joint_plans(one, view)[0].decode for one in asks)
    assert len(used) == 4 and min(used.values()) > 50
    assert [joint_plans(one, view)[0] for one in asks] == [joint_plans(one, view)[0] for one in asks]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_plans_are_possible_and_in_order(data: st.DataObject) -> None:
    """Whatever the load: roles are kept, sources hold more than the reader, costs are finite and sorted."""
    workers = 7
    view = idle_view(3, 4)
    for array, most in ((view.queued_tokens, 1e6), (view.running, 256.0), (view.kv_tokens, 1e6)):
        array[:] = data.draw(st.lists(st.floats(0.0, most), min_size=workers, max_size=workers))
    view.running[:3] = 0.0
    matched = data.draw(st.lists(st.integers(0, 300), min_size=workers, max_size=workers))
    plans = joint_plans(ask(data.draw(st.integers(1, 5000)), matched, slack_s=2.0, itl_s=0.05), view)
    assert plans
    ranks = [(plan.first_token_s > 2.0, plan.cost_s) for plan in plans]
    assert ranks == sorted(ranks)
    for plan in plans:
        assert view.decodes[plan.decode] and np.isfinite(plan.cost_s) and plan.first_token_s >= 0.0
        assert plan.prefill is None or view.prefills[plan.prefill]
        reader = plan.decode if plan.prefill is None else plan.prefill
        assert plan.source is None or matched[plan.source] > matched[reader]


def test_a_thousand_workers_are_planned_in_one_sweep() -> None:
    """No loop over workers: a thousand cost less than ten times as much as ten."""
    small, large = idle_view(5, 5), idle_view(500, 500)
    small_s = min(_seconds(ask(8000, [0] * 10, n), small) for n in range(30))
    large_s = min(_seconds(ask(8000, [0] * 1000, n), large) for n in range(30))
    assert large_s < 10 * small_s


def _seconds(one: JointAsk, view: ClusterView) -> float:
    began = time.perf_counter()
    joint_plans(one, view)
    return time.perf_counter() - began
