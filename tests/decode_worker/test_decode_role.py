"""The decode role: reservations, joins, tokens, and what is left after every way to end."""

from __future__ import annotations

import pytest

from engine.owner import Owner, OwnerKind
from engine.schedule import SchedulePolicy
from engine.step import StepResult
from protocol.limits import Limits
from protocol.mail import Outbound
from protocol.messages import Admitted, Attach, Failed, FinishReason, Withdrawn
from protocol.stamp import Phase
from tests.decode_worker.decode_bench import (
    GATEWAY,
    LIMITS,
    ME,
    DecodeBench,
    job,
    key,
    transfer,
)
from tests.decode_worker.stages import adopted, reading, refusal
from tests.engine.modelled import answer

ANSWER = answer(job().request)


@pytest.mark.parametrize("join_first", [True, False])
def test_join_before_and_after_verification(join_first: bool) -> None:
    """Whichever comes last starts the request; its tokens follow the first one without gap, and are
    what one machine would have said."""
    bench = DecodeBench()
    told = job()
    bench.reserve(told)
    assert bench.sent() == [Admitted(key(), 0)]
    if join_first:
        bench.join(told, now=1.0)
        assert not bench.turn(1.0)
        bench.arrive(told, now=3.0)
    else:
        bench.arrive(told, now=1.0)
        assert not bench.turn(1.0)
        bench.join(told, now=3.0)
    assert bench.held() == {"request": 3}
    indices = []
    while bench.turn(4.0):
        (delta,) = bench.deltas()
        indices.append(delta.first_index)
        if len(indices) == 1:
            seconds = {stamp.phase: stamp.seconds for stamp in delta.stamps}
            waited = 2.0 if join_first else 0.0
            assert seconds == {Phase.TRANSFER: waited, Phase.DECODE_QUEUE: 1.0}
    assert indices == [1, 2, 3, 4]
    assert tuple(bench.tokens[key()]) == ANSWER[1:]
    assert delta.finish is FinishReason.LENGTH
    assert bench.held() == {}


def test_the_reader_asks_only_for_what_is_not_cached() -> None:
    """The second request with the same prompt reads its last block alone, and says what it found."""
    bench = DecodeBench()
    bench.compute(job())
    while bench.turn():
        pass
    bench.role.take_outbox()
    told = job("s")
    bench.reserve(told)
    mail = [one.frame for one in bench.role.take_outbox() if isinstance(one, Outbound)]
    assert mail == [Admitted(key("s"), 8), Attach(transfer("t"), ME, "model", 2)]
    bench.arrive(told)
    bench.join(told)
    while bench.turn():
        pass
    bench.sent()
    assert tuple(bench.tokens[key("s")]) == ANSWER[1:]


def test_it_goes_on_after_tokens_that_were_sent() -> None:
    """A new attempt, pulled or computed, goes on where the last one stopped."""
    for pulled in (True, False):
        bench = DecodeBench()
        told = job(sent=ANSWER[:2], attempt=2)
        if pulled:
            bench.reserve(told)
            bench.join(told)
            bench.arrive(told)
        else:
            bench.compute(told)
        while bench.turn():
            pass
        bench.sent()
        assert tuple(bench.tokens[told.key]) == ANSWER[3 if pulled else 2 :]


def test_a_computed_request_has_the_phases_of_a_prefill() -> None:
    """Admitted at once; the first token carries queue and prefill."""
    bench = DecodeBench()
    bench.compute(job(), now=1.0)
    assert bench.sent() == [Admitted(key(), 0)]
    bench.turn(3.0)
    (delta,) = bench.deltas()
    assert [(stamp.phase, stamp.seconds) for stamp in delta.stamps] == [
        (Phase.PREFILL_QUEUE, 2.0),
        (Phase.PREFILL, 0.0),
    ]
    bench.turn(4.0)
    (delta,) = bench.deltas()
    assert delta.stamps == ()


def test_an_id_in_quarantine_cannot_be_used() -> None:
    """A read of the cancelled transfer may still land: its record must not be overwritten."""
    bench, told = DecodeBench(), job()
    reading(bench, told)
    bench.cancel(told)
    bench.reserve(job("other"))
    assert refusal(bench) == "transfer_failed"
    assert bench.held() == {"quarantine": 3}
    bench.transport.land_all()
    bench.turn(0.1)
    bench.reserve(job("other"))
    assert bench.sent() == [Admitted(key("other"), 0)]


def test_a_failed_transfer_fails_its_request_alone() -> None:
    """The gateway hears the code, and goes elsewhere with it."""
    bench, told = DecodeBench(), job()
    bench.reserve(told)
    bench.reserve(job("other"), "u")
    bench.sent()
    bench.hear(Withdrawn(transfer("t"), "stale_kv", "gone"), bench.link)
    bench.role.before_plan(0.0)
    (failed,) = bench.sent()
    assert isinstance(failed, Failed)
    assert (failed.key, failed.code) == (key(), "transfer_failed")
    assert bench.held() == {"dest": 3}
    bench.join(told)
    assert not bench.turn()


def test_stale_kv_is_never_computed_with() -> None:
    """The source reused a block before it was read: the request fails, and nothing of it is cached."""
    bench, told = DecodeBench(), job()
    bench.reserve(told)
    bench.sent()
    bench.join(told)
    bench.serve(told)
    bench.remote.pool.take(Owner.quarantine(transfer("x")), (), 400)
    for _ in range(4):
        bench.turn()
        bench.transport.land_all()
    (failed,) = bench.sent()
    assert isinstance(failed, Failed)
    assert failed.code == "stale_kv"
    assert bench.engine.pool.counts()[OwnerKind.CACHE] == 0


def test_a_join_with_the_last_token_starts_nothing() -> None:
    """Blocks for one more were never reserved; the gateway that had all tokens cancels."""
    bench, told = DecodeBench(), job(max_tokens=1)
    bench.reserve(told)
    bench.arrive(told)
    bench.join(told)
    assert not bench.turn()
    bench.cancel(told)
    assert bench.held() == {}


def test_logits_that_are_not_finite_fail_one_request() -> None:
    """Whether its first step or a later one: one typed error, no block stays."""
    for steps in (0, 2):
        bench, told = DecodeBench(), job()
        adopted(bench, told)
        for _ in range(steps):
            bench.turn()
        bench.sent()
        step = bench.engine.plan()
        assert step is not None
        bench.role.after_commit(bench.engine.commit(step, StepResult((None,), 0.001)), 0.0, 0.0)
        bench.engine.release_ended()
        (failed,) = bench.sent()
        assert isinstance(failed, Failed)
        assert failed.code == "engine_failed"
        assert bench.held() == {}


@pytest.mark.parametrize("ask", ["reserve", "compute"])
def test_what_never_fits_is_refused_as_such(ask: str) -> None:
    """Prompt and answer need more blocks than there are: the client can mend that, waiting cannot."""
    bench = DecodeBench(3)
    for max_tokens, code in ((4, "context_length_exceeded"), (3, "")):
        told = job(max_tokens=max_tokens)
        bench.reserve(told) if ask == "reserve" else bench.compute(told)
        if code:
            assert refusal(bench) == code
        else:
            assert bench.sent() == [Admitted(key(), 0)]


def test_a_full_worker_is_busy() -> None:
    """A full queue, a full batch and a full pool are all Busy: the gateway tries the next plan."""
    bench = DecodeBench(limits=Limits(max_open_requests=1))
    bench.compute(job())
    bench.sent()
    bench.compute(job("s"))
    assert refusal(bench) == "worker_busy"
    bench.reserve(job("s"))
    assert refusal(bench) == "worker_busy", "whoever waits without blocks comes first"
    narrow = DecodeBench(policy=SchedulePolicy(max_running=1))
    narrow.reserve(job("a"), "a")
    narrow.sent()
    narrow.reserve(job("b"), "b")
    assert refusal(narrow) == "worker_busy"
    small = DecodeBench(6)
    small.reserve(job("a"), "a")
    small.sent()
    small.reserve(job("b"), "b")
    assert refusal(small) == "worker_busy", "neither could grow"
    small.role.peer_lost(GATEWAY, 0.0)
    small.reserve(job("b"), "b")
    assert isinstance(small.sent()[0], Admitted)


def test_it_is_busy_while_something_moves() -> None:
    """The loop polls while reads are in flight, and sleeps otherwise; close ends the transport."""
    bench, told = DecodeBench(), job()
    assert not bench.role.busy()
    reading(bench, told)
    assert bench.role.busy()
    bench.cancel(told)
    assert bench.role.busy(), "until the quarantine ends"
    bench.transport.land_all()
    bench.turn(LIMITS.quarantine_s)
    assert not bench.role.busy()
    assert dict(bench.role.counters())["transfers"] == 0
    bench.role.close()
    assert bench.transport.closed
