"""Where the time of a request went, on a whole simulated cluster: the phases add up, whatever happened."""

from __future__ import annotations

import asyncio

import pytest

from gateway.record import Record
from protocol.ids import RequestId
from protocol.stamp import Phase
from tests.gateway.small_cluster import PROFILE, SmallCluster, play, prompts
from tests.simulation.client import Outcome
from tests.simulation.scenario import Fault

WAITED = {Phase.QUEUE, Phase.PLAN, Phase.RESERVE, Phase.PREFILL_QUEUE, Phase.PREFILL, Phase.FIRST}
WAITED |= {Phase.DECODE}
HANDED_OVER = {Phase.TRANSFER, Phase.DECODE_QUEUE}


def _record(cluster: SmallCluster, outcome: Outcome) -> Record:
    record = cluster.gateway.logbook.find(RequestId(outcome.request.id), 0.0)
    assert record is not None
    assert outcome.error == ""
    assert sum(record.phases.values()) == pytest.approx(record.seconds, rel=1e-6)
    assert record.seconds == pytest.approx(outcome.seconds, rel=0.01)
    assert all(seconds >= 0.0 for seconds in record.phases.values())
    return record


@pytest.mark.parametrize(("prefills", "expected"), [(1, WAITED | HANDED_OVER), (0, WAITED)])
def test_phases_add_up_to_the_time_of_every_request(prefills: int, expected: set[Phase]) -> None:
    """Alone and in a crowd, handed over from one worker to another or computed on one."""

    async def act(cluster: SmallCluster) -> None:
        said = prompts(13, 60)
        alone = _record(cluster, await cluster.ask("alone", said[12]))
        assert set(alone.phases) == expected
        assert alone.phases[Phase.DECODE] > 0.5 * alone.seconds
        crowd = await asyncio.gather(*(cluster.ask(f"r{i}", said[i]) for i in range(12)))
        records = [_record(cluster, one) for one in crowd]
        assert max(one.phases[Phase.QUEUE] + one.phases[Phase.PREFILL_QUEUE] for one in records) > 0.0

    play(act, prefills, 1, PROFILE)


@pytest.mark.parametrize("after_s", [0.02, 0.1, 0.4])
def test_a_lost_attempt_is_waiting(after_s: float) -> None:
    """An engine dies under a request: what that cost is in its phases, once."""

    async def act(cluster: SmallCluster) -> None:
        asking = asyncio.create_task(cluster.ask("r", prompts(1, 60)[0], 200))
        await cluster.clock.sleep(after_s)
        record = cluster.gateway.logbook.find(RequestId("r"), 0.0)
        assert record is not None
        victim = record.notes[-1].plan.decode.worker
        cluster.node(victim).end_life(Fault.CRASH, 1.0)
        ended = _record(cluster, await asking)
        assert ended.attempts >= 2
        lost = [note for note in ended.notes if note.loss is not None]
        assert [note.failed_at.worker for note in lost if note.failed_at is not None] == [victim]

    play(act, 1, 2, PROFILE)
