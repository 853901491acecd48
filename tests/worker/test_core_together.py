"""When tokens leave: at once, but for those of short steps, which leave together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec import structs

from protocol.mail import Outbound
from protocol.messages import StepReport
from tests.engine.modelled import admitted, assignment
from tests.worker.test_core import Bench
from worker.core import TOGETHER_S
from worker.warm_up import warm_up

STEPS = 70


def _sent(step_s: float, lookahead: int) -> list[tuple[float, int]]:
    """When tokens left, and how many, of one sequence whose steps take `step_s`."""
    bench = Bench(lookahead=lookahead)
    warm_up(bench.engine)
    admitted(bench.engine, assignment("r", (1, 2, 3), STEPS))
    sent: list[tuple[float, int]] = []
    flying = []
    now = 0.0
    for _ in range(STEPS + 1):
        step = bench.core.plan(now)
        sent += _tokens(bench, now)
        if step is not None:
            flying.append((step, bench.core.launch(step)))
        if flying and (step is None or len(flying) > lookahead):
            now += step_s
            oldest, pending = flying.pop(0)
            bench.core.commit(oldest, structs.replace(pending.result(), seconds=step_s), now)
            sent += _tokens(bench, now)
    return sent


def _tokens(bench: Bench, now: float) -> list[tuple[float, int]]:
    frames = [one.frame for one in bench.core.take_outbox() if isinstance(one, Outbound)]
    reports = [frame for frame in frames if isinstance(frame, StepReport) and frame.deltas]
    return [(now, sum(len(delta.tokens) for delta in report.deltas)) for report in reports]


@pytest.mark.parametrize(("step_s", "lookahead"), [(TOGETHER_S, 1), (TOGETHER_S / 8, 0)])
def test_tokens_leave_with_their_step(step_s: float, lookahead: int) -> None:
    """Where steps are not short, or none has begun when one ends."""
    assert [tokens for _, tokens in _sent(step_s, lookahead)] == [1] * STEPS


def test_tokens_of_short_steps_leave_together() -> None:
    """Several in one frame, none later than TOGETHER_S after the frame before it, and none is left behind."""
    sent = _sent(TOGETHER_S / 8, 1)
    times = [at for at, _ in sent]
    assert sum(tokens for _, tokens in sent) == STEPS
    assert len(sent) < STEPS / 3
    assert all(late - early <= TOGETHER_S * 1.001 for early, late in pairwise(times))
