"""The live router: who may take a request now, and who does so soonest."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from protocol.load_report import OwnLoad, StepSample
from router.desk import PROVEN
from router.slo import Slo
from tests.router.fleets import NOBODY, NOTHING, STEP_TOKENS, RouterScene, ask, identity, load

PROMPT = range(4000)


def test_what_this_gateway_sent_counts_at_once() -> None:
    """A burst is spread though no worker has said anything in between."""
    scene = RouterScene("d0", "d1", "d2", "d3")
    used: Counter[str] = Counter()
    for number in range(40):
        decode, _ = scene.best(ask(seed=number))
        scene.send(decode, 10)
        used[decode] += 1
    assert set(used.values()) == {10}


def test_the_others_load_counts_as_well() -> None:
    """Another gateway has sent much to one worker: reports say so, and it is left alone."""
    scene = RouterScene("d0", "d1")
    scene.desks["d0"].hear(load(queued=400, running=6), NOTHING)
    assert {scene.best(ask(seed=number)) for number in range(20)} == {("d1", None)}
    scene.desks["d0"].hear(load(queued=400, running=6), OwnLoad(400, 6))
    assert {scene.best(ask(seed=number))[0] for number in range(20)} == {"d0", "d1"}


@pytest.mark.parametrize("local", [False, True])
def test_a_best_worker_with_more_than_a_step_ahead_is_waited_for(local: bool) -> None:
    """The request holds nothing meanwhile; with no more than a step ahead it goes there."""
    scene = RouterScene("p0", "d0", local=local)
    scene.desks["d0"].hear(load(queued=10 * STEP_TOKENS, running=40), NOTHING)
    scene.desks["p0"].hear(load(queued=STEP_TOKENS), NOTHING)
    assert scene.best(ask()) == ("d0", "p0")
    scene.desks["p0"].hear(load(queued=STEP_TOKENS + 1), NOTHING)
    assert scene.router.plans(ask(), NOBODY) == ()


def test_where_steps_are_shorter_than_news_of_them_several_may_be_ahead() -> None:
    """Engines that are done before the gateway hears of it would be idle in between."""
    scene = RouterScene("p0", "d0", local=False)
    samples = tuple(StepSample(STEP_TOKENS * n, 0.0, 0, 0, 0.001 * n) for n in (1, 2, 1, 2) * 20)
    fast = replace(load(queued=8 * STEP_TOKENS), step_samples=samples)
    scene.outlook.board.learn(identity("p0"), fast)
    scene.desks["p0"].hear(fast, NOTHING)
    assert scene.best(ask()) == ("d0", "p0")
    scene.desks["p0"].hear(load(queued=12 * STEP_TOKENS), NOTHING)
    assert scene.router.plans(ask(), NOBODY) == ()


def test_a_long_queue_sends_the_prompt_to_an_idle_decode_worker() -> None:
    """Local prefill is a plan like others, unless it is not wanted."""
    for local, expected in ((True, ("d0", None)), (False, None)):
        scene = RouterScene("p0", "d0", local=local)
        scene.desks["p0"].hear(load(queued=100_000), NOTHING)
        plans = scene.router.plans(ask(), NOBODY)
        assert (scene.best(ask()) if plans else None) == expected


def test_without_local_prefill_only_where_no_prefill_worker_can() -> None:
    """None in the pool, none that can hold the prompt, or all of them failed this request."""
    scene = RouterScene("d0", local=False)
    assert scene.best(ask()) == ("d0", None)
    scene.link("p1", total_blocks=3)
    assert scene.best(ask()) == ("d0", None)
    scene.link("p0")
    assert scene.best(ask()) == ("d0", "p0")
    scene.desks["p0"].refuse(1)
    assert scene.router.plans(ask(), NOBODY) == ()
    failed = frozenset({identity("p0")})
    assert [plan.prefill for plan in scene.router.plans(ask(), failed)] == [None]


def test_who_failed_the_request_is_avoided_as_long_as_there_is_another() -> None:
    """A decode worker is used again when there is no other."""
    scene = RouterScene("d0", "d1")
    failed = frozenset({identity("d0")})
    assert {plan.decode.worker for plan in scene.router.plans(ask(), failed)} == {"d1"}
    both = failed | {identity("d1")}
    assert {plan.decode.worker for plan in scene.router.plans(ask(), both)} == {"d0", "d1"}


def test_who_could_never_hold_it_is_not_asked_unless_nobody_could() -> None:
    """Then any of them may say so; a worker without room just now is not asked at all."""
    scene = RouterScene()
    scene.link("d0", total_blocks=10)
    assert scene.router.plans(ask(150, 50), NOBODY)[0].decode.worker == "d0"
    scene.link("d1")
    assert {plan.decode.worker for plan in scene.router.plans(ask(150, 50), NOBODY)} == {"d1"}
    scene.desks["d1"].hear(load(free=5), NOTHING)
    assert scene.router.plans(ask(150, 50), NOBODY) == ()


def test_room_for_the_prompt_is_enough_to_be_asked() -> None:
    """What a batch needs to grow is kept by its worker, which refuses by itself."""
    scene = RouterScene("d0")
    scene.desks["d0"].hear(load(free=10, running=9), NOTHING)
    assert scene.router.plans(ask(160, 500), NOBODY) != ()
    assert scene.router.plans(ask(161, 500), NOBODY) == ()


def test_who_refused_is_left_alone_until_something_changes_there() -> None:
    """By requests no smaller; smaller ones may find room."""
    scene = RouterScene("d0", "d1")
    scene.desks["d0"].refuse(100)
    assert {plan.decode.worker for plan in scene.router.plans(ask(100), NOBODY)} == {"d1"}
    assert {plan.decode.worker for plan in scene.router.plans(ask(99), NOBODY)} == {"d0", "d1"}
    scene.desks["d0"].hear(load(), NOTHING)
    assert {plan.decode.worker for plan in scene.router.plans(ask(100), NOBODY)} == {"d0", "d1"}


def test_a_prefix_that_lies_elsewhere_is_pulled_or_used_in_place() -> None:
    """In place where its holder is free; from there where its holder is busy; how much is told."""
    scene = RouterScene("d0", "d1")
    scene.holds("d0", PROMPT, 200)
    plan = scene.router.plans(ask(prompt=PROMPT), NOBODY)[0]
    assert (plan.decode.worker, plan.source, plan.held_tokens) == ("d0", None, 3200)
    scene.desks["d0"].hear(load(queued=400, running=30), NOTHING)
    plan = scene.router.plans(ask(prompt=PROMPT), NOBODY)[0]
    assert (plan.decode.worker, plan.source) == ("d1", scene.desks["d0"].identity)
    assert (plan.source_blocks, plan.pulled_tokens, plan.missing_tokens) == (200, 3200, 800)
    forecast = scene.router.forecast(plan)
    assert forecast.pull_s > 0.0 and forecast.prefill_s > 0.0 and forecast.token_s > 0.0


def test_nothing_is_pulled_from_who_is_away_or_failed_the_request() -> None:
    """Whatever the index still knows of it."""
    scene = RouterScene("d0", "d1")
    scene.holds("d0", PROMPT, 200)
    failed = frozenset({identity("d0")})
    assert [plan.source for plan in scene.router.plans(ask(prompt=PROMPT), failed)] == [None]
    scene.desks["d0"].withdraw()
    assert [plan.source for plan in scene.router.plans(ask(prompt=PROMPT), NOBODY)] == [None]


def test_a_suspect_is_computed_on_one_worker() -> None:
    """No prefill worker, and no source."""
    scene = RouterScene("p0", "d0", "d1")
    scene.holds("d0", PROMPT, 200)
    plans = scene.router.alone(ask(prompt=PROMPT), NOBODY)
    assert len(plans) == 2
    assert all(plan.prefill is None and plan.source is None for plan in plans)


def test_the_last_resort_forgives_but_does_not_queue() -> None:
    """Whatever failed before may compute the prompt, if it has little else to compute."""
    scene = RouterScene("p0", "d0", "d1", local=False)
    scene.desks["d1"].hear(load(queued=10_000_000), NOTHING)
    assert [plan.decode.worker for plan in scene.router.last_resort(ask())] == ["d0"]


def test_a_new_worker_is_not_stormed() -> None:
    """Beside proven ones it gets one request, then twice as many for each answer; new ones share."""
    scene = RouterScene("d0", "d1")
    for name in ("d0", "d1"):
        scene.desks[name].hear(load(running=50), NOTHING)
    fresh = scene.link("d2", proven=False)
    for expected in (1, 3, 7):
        keys = []
        for number in range(100):
            decode, _ = scene.best(ask(seed=number))
            keys.append((decode, scene.send(decode, 10)))
        assert fresh.open_requests == expected
        for name, key in keys:
            scene.desks[name].spoke(key)
            scene.desks[name].close(key)
        fresh.heard = expected
    fresh.heard = PROVEN
    assert {scene.best(ask(seed=number))[0] for number in range(20)} == {"d2"}
    cold = RouterScene("d0", "d1", proven=False)
    for number in range(40):
        cold.send(cold.best(ask(seed=number))[0], 10)
    assert [desk.open_requests for desk in cold.desks.values()] == [20, 20]


def test_a_promise_that_a_batch_would_break_sends_the_prompt_away() -> None:
    """Where mixed steps take longer than the promised time between tokens, harm to the batch weighs more."""
    for itl_s, expected in ((0.05, ("d0", "p0")), (100.0, ("d0", None))):
        scene = RouterScene("p0", "d0", slo=Slo(itl_s=itl_s))
        scene.desks["d0"].hear(load(running=20), NOTHING)
        scene.desks["p0"].hear(load(queued=STEP_TOKENS), NOTHING)
        assert scene.best(ask(400)) == expected


def test_ways_that_were_measured_count() -> None:
    """A prompt that a prefill worker computes takes one question more; how long that is, is learnt."""
    scene = RouterScene("p0", "d0")
    scene.desks["d0"].hear(load(running=3), NOTHING)
    plans = {plan.prefill is None: plan for plan in scene.router.plans(ask(), NOBODY)}
    assert scene.best(ask()) == ("d0", "p0")
    for _ in range(20):
        scene.router.measured(plans[False], 5.0)
        scene.router.measured(plans[True], 0.01)
    assert scene.best(ask()) == ("d0", None)
    plan = scene.router.plans(ask(), NOBODY)[0]
    assert plan.first_token_s == pytest.approx(plans[True].first_token_s + 0.01, abs=0.001)
