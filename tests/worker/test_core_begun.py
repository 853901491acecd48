"""What a core says of the steps that it begins, for those who outlive it."""

from __future__ import annotations

from protocol.ids import AttemptKey, RequestId
from protocol.mail import Begun, Outbound
from protocol.messages import StepReport
from tests.engine.modelled import admitted, assignment
from tests.worker.test_core import GATEWAY, Bench
from worker.steps_begun import UNKNOWN_STEP_S
from worker.warm_up import warm_up


def test_what_begins_is_told_before_it_starts_and_only_when_it_changes() -> None:
    """The batch that decodes is told once, then whoever comes or goes, then that nothing runs."""
    bench = Bench()
    warm_up(bench.engine)
    told = []
    for number, arriving in enumerate(("a", "", "b", "", "", "")):
        if arriving:
            admitted(bench.engine, assignment(arriving, (1, 2, 3), 3))
        step = bench.core.plan(float(number))
        told.append([one.suspects for one in bench.core.take_outbox() if isinstance(one, Begun)])
        if step is not None:
            bench.core.commit(step, bench.core.launch(step).result(), float(number))
            assert not any(isinstance(one, Begun) for one in bench.core.take_outbox())
    a, b = (AttemptKey(RequestId(name), 0) for name in "ab")
    assert told == [[(a,)], [], [(a, b)], [(b,)], [], [()]]


def test_a_long_step_is_announced_to_every_gateway_before_it_starts() -> None:
    """One whose like was never measured counts as long; short ones are not worth a report."""
    bench = Bench()
    bench.hello(GATEWAY)
    bench.core.take_outbox()
    admitted(bench.engine, assignment("r", tuple(range(30)), 3))
    step = bench.core.plan(0.0)
    assert step is not None
    mail = bench.core.take_outbox()
    assert [one.predicted_s for one in mail if isinstance(one, Begun)] == [UNKNOWN_STEP_S]
    (report,) = [one.frame for one in mail if isinstance(one, Outbound)]
    assert isinstance(report, StepReport) and report.load is not None
    assert report.load.begun_s == UNKNOWN_STEP_S
    bench.core.commit(step, bench.core.launch(step).result(), 1.0)
    (after,) = bench.reports().values()
    assert after.load is not None
    assert after.load.begun_s == 0.0
