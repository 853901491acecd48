"""Cancel, loss, lateness, strangers and repetition in every stage of a request on a decode worker."""

from __future__ import annotations

import pytest

from protocol.messages import Failed, Join
from tests.decode_worker.decode_bench import (
    GATEWAY,
    OTHER_GATEWAY,
    DecodeBench,
    job,
    key,
)
from tests.decode_worker.stages import (
    IN_FLIGHT,
    STAGES,
    Stage,
    adopted,
    joined,
    preempted,
    queued,
    reading,
    refusal,
    reserved,
    running,
    verified,
    verifying,
)
from tests.engine.modelled import answer

ANSWER = answer(job().request)


def settle(bench: DecodeBench, stage: Stage) -> None:
    """Nothing is held but what can still be written, and that comes back once it has ended."""
    assert bench.held() == ({"quarantine": 3} if stage in IN_FLIGHT else {})
    bench.transport.land_all()
    assert not bench.turn(100.0)
    assert bench.held() == {}
    assert bench.transport.reads == {}


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_in_every_stage(stage: Stage) -> None:
    """All is given back, nothing is answered, twice is harmless."""
    bench, told = DecodeBench(), job()
    stage(bench, told)
    bench.sent()
    bench.cancel(told)
    bench.cancel(told)
    assert bench.sent() == []
    settle(bench, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_lost_gateway_in_every_stage(stage: Stage) -> None:
    """Everything that only it wanted is dropped; another gateway's request goes on."""
    bench, told = DecodeBench(), job()
    stage(bench, told)
    bench.compute(job("other"), OTHER_GATEWAY)
    bench.role.peer_lost(GATEWAY, 0.0)
    while bench.turn():
        bench.sent()
    assert tuple(bench.tokens[key("other")]) == ANSWER
    settle(bench, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_the_deadline_in_every_stage(stage: Stage) -> None:
    """One typed error, and nothing is held."""
    bench, told = DecodeBench(), job(left_s=4.0)
    stage(bench, told)
    bench.sent()
    bench.role.before_plan(3.9)
    assert [frame for frame in bench.sent() if isinstance(frame, Failed)] == []
    bench.role.before_plan(4.0)
    (failed,) = bench.sent()
    assert isinstance(failed, Failed)
    assert (failed.key, failed.code) == (key(), "deadline_exceeded")
    settle(bench, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_a_lost_source_in_every_stage(stage: Stage) -> None:
    """Only a request whose KV is not published yet fails, with a code that makes the gateway plan
    again; all others go on to the right answer."""
    bench, told = DecodeBench(), job()
    stage(bench, told)
    bench.role.peer_lost(bench.link, 0.0)
    if stage not in (joined, adopted, running, preempted, queued):
        bench.join(told)
    for _ in range(12):
        bench.transport.land_all()
        bench.turn(0.1)
    if stage is reserved:
        (failed,) = bench.sent()
        assert isinstance(failed, Failed)
        assert failed.code == "worker_lost"
    else:
        bench.sent()
        assert tuple(bench.tokens[key()]) == (ANSWER if stage is queued else ANSWER[1:])
    assert bench.held() == {}


@pytest.mark.parametrize("stage", STAGES)
def test_foreign_commands_in_every_stage(stage: Stage) -> None:
    """Another gateway with the same key is refused with Busy; its Cancel, Join and death change nothing."""
    bench, told = DecodeBench(), job()
    stage(bench, told)
    bench.sent()
    bench.hear(Join(told.key, 99), OTHER_GATEWAY)
    bench.reserve(told, "u", OTHER_GATEWAY)
    assert refusal(bench, OTHER_GATEWAY) == "worker_busy"
    bench.compute(told, OTHER_GATEWAY)
    assert refusal(bench, OTHER_GATEWAY) == "worker_busy"
    bench.cancel(told, OTHER_GATEWAY)
    bench.role.peer_lost(OTHER_GATEWAY, 0.0)
    if stage is reserved:
        bench.serve(told)
    if stage is not queued:
        bench.join(told)
    for _ in range(12):
        bench.transport.land_all()
        bench.turn(0.1)
    bench.sent()
    assert tuple(bench.tokens[key()]) == (ANSWER if stage is queued else ANSWER[1:])
    assert bench.held() == {}


@pytest.mark.parametrize("stage", STAGES)
def test_doubled_commands_in_every_stage(stage: Stage) -> None:
    """Reserve, Compute and Join again: nothing is answered, held or said twice."""
    bench, told = DecodeBench(), job()
    stage(bench, told)
    bench.sent()
    before = bench.held()
    bench.reserve(told)
    bench.reserve(told, "u")
    bench.compute(told)
    if stage in (joined, adopted, running, preempted, queued):
        bench.join(told)
    assert bench.held() == before
    assert bench.sent() == []
    if stage is reserved:
        bench.serve(told)
    bench.join(told)
    for _ in range(12):
        bench.transport.land_all()
        bench.turn(0.1)
    bench.sent()
    assert tuple(bench.tokens[key()]) == (ANSWER if stage is queued else ANSWER[1:])


@pytest.mark.parametrize("stage", [reserved, reading, joined, verifying, verified, adopted])
def test_an_id_of_a_transfer_serves_one_attempt(stage: Stage) -> None:
    """While it is open another attempt cannot have it."""
    bench, told = DecodeBench(), job()
    stage(bench, told)
    bench.sent()
    bench.reserve(job("other"), peer=OTHER_GATEWAY)
    assert refusal(bench, OTHER_GATEWAY) == "transfer_failed"
    bench.cancel(told)
    settle(bench, stage)
