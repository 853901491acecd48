"""When a worker speaks of itself: soon when something came or went, and never twice in one outbox."""

from __future__ import annotations

from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.kv_events import Cleared, KvDumpWanted, KvEvents, Stored
from protocol.load_report import OwnLoad
from protocol.mail import Inbound, Outbound, PeerId, PeerLost
from protocol.messages import StepReport
from tests.engine.modelled import admitted, assignment
from tests.worker.test_core import GATEWAY, IDENTITY, OTHER, Bench
from worker.reporter import SOON_GAP_S
from worker.role_load import RoleLoad


def settled() -> Bench:
    """A core that two gateways have just heard of."""
    bench = Bench()
    bench.hello(GATEWAY)
    bench.hello(OTHER)
    while bench.core.take_outbox():
        pass
    return bench


def loads(bench: Bench) -> list[PeerId]:
    """Who is told the load now; one report each."""
    return [peer for peer, report in bench.reports().items() if report.load is not None]


def kv_frames(bench: Bench, peer: PeerId) -> list[KvEvents]:
    """What one gateway is told of KV."""
    mail = [one for one in bench.core.take_outbox() if isinstance(one, Outbound) and one.peer == peer]
    return [one.frame for one in mail if isinstance(one.frame, KvEvents)]


def test_others_see_a_burst_before_the_next_report_is_due() -> None:
    """Attempts that come are told within SOON_GAP_S, many of them at once, to every gateway."""
    bench = settled()
    bench.core.plan(0.001)
    bench.role.came_or_went += 20
    assert loads(bench) == []
    assert bench.core.idle_wait_s(0.001) <= SOON_GAP_S
    bench.core.plan(SOON_GAP_S)
    assert loads(bench) == [GATEWAY, OTHER]
    bench.core.plan(2 * SOON_GAP_S)
    assert loads(bench) == []
    bench.core.plan(0.1)
    bench.role.came_or_went += 1
    assert loads(bench) == [GATEWAY, OTHER], "after a while of silence it goes at once"


def test_each_gateway_is_told_its_own_part() -> None:
    """One without requests has no part."""
    bench = settled()
    bench.role.said = RoleLoad({OTHER: OwnLoad(9, 1)})
    bench.core.plan(1.0)
    reports = bench.reports()
    assert (reports[GATEWAY].own, reports[OTHER].own) == (OwnLoad(0, 0), OwnLoad(9, 1))


def test_a_sample_is_told_to_everybody_and_once() -> None:
    """The steps since the last report, in the report of whoever hears it."""
    bench = settled()
    admitted(bench.engine, assignment("r", (1, 2, 3), 9))
    assert bench.turn(1.0) is not None
    for report in bench.reports().values():
        assert report.load is not None and len(report.load.step_samples) == 1
    bench.core.plan(2.0)
    for report in bench.reports().values():
        assert report.load is not None and report.load.step_samples == ()


def test_events_of_blocks_are_numbered_and_follow_the_reports() -> None:
    """Cleared first; what a step made findable with the next report; nothing for a link that is gone."""
    bench = Bench()
    bench.hello(GATEWAY)
    (opening,) = kv_frames(bench, GATEWAY)
    assert (opening.identity, opening.sequence, opening.events) == (IDENTITY, 0, (Cleared(),))
    admitted(bench.engine, assignment("r", tuple(range(10)), 5))
    assert bench.turn(1.0) is not None
    (frame,) = kv_frames(bench, GATEWAY)
    assert frame.sequence == 1
    assert [type(event) for event in frame.events] == [Stored]
    bench.core.deliver([PeerLost(GATEWAY)], 2.0)
    bench.core.plan(2.0)
    assert kv_frames(bench, GATEWAY) == []


def test_who_missed_something_is_told_everything_again() -> None:
    """With the next number; a question for another life of the worker, or of a stranger, changes nothing."""
    bench = settled()
    other_life = WorkerIdentity(WorkerId("w"), Incarnation("before"))
    bench.core.deliver([Inbound(GATEWAY, KvDumpWanted(other_life))], 0.001)
    bench.core.deliver([Inbound(PeerId(9), KvDumpWanted(IDENTITY))], 0.001)
    assert bench.core.take_outbox() == []
    bench.core.deliver([Inbound(GATEWAY, KvDumpWanted(IDENTITY))], 0.001)
    (again,) = kv_frames(bench, GATEWAY)
    assert (again.sequence, again.events) == (1, (Cleared(),))
    assert bench.role.told == [], "no role is bothered"


def test_a_dump_does_not_wait_for_the_next_report() -> None:
    """The loop comes back at once until all is told."""
    bench = settled()
    bench.core.deliver([Inbound(GATEWAY, KvDumpWanted(IDENTITY))], 0.001)
    assert bench.core.idle_wait_s(0.001) < SOON_GAP_S
    mail = bench.core.take_outbox()
    assert not any(isinstance(one, Outbound) and isinstance(one.frame, StepReport) for one in mail)
