"""Where the time of a request went: every second in exactly one phase."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.phase_clock import PhaseClock
from protocol.stamp import Phase, Stamp

BEGAN = 100.0


def test_a_request_that_goes_well() -> None:
    """Each phase is what its owner measured, the remainders are the ways and the decoding."""
    clock = PhaseClock(BEGAN)
    clock.placed(0.001, BEGAN + 0.5, BEGAN + 0.6)
    clock.spoke((Stamp(Phase.PREFILL_QUEUE, 0.1), Stamp(Phase.PREFILL, 0.2)), BEGAN + 1.0)
    clock.spoke((Stamp(Phase.TRANSFER, 0.02), Stamp(Phase.DECODE_QUEUE, 0.03)), BEGAN + 1.1)
    clock.spoke((), BEGAN + 2.1)
    seconds = {stamp.phase: stamp.seconds for stamp in clock.stamps()}
    assert seconds == pytest.approx({
        Phase.QUEUE: 0.499,
        Phase.PLAN: 0.001,
        Phase.RESERVE: 0.1,
        Phase.PREFILL_QUEUE: 0.1,
        Phase.PREFILL: 0.2,
        Phase.FIRST: 0.1,
        Phase.TRANSFER: 0.02,
        Phase.DECODE_QUEUE: 0.03,
        Phase.DECODE: 1.05,
    })  # fmt: skip


def test_a_worker_that_began_before_its_answer_was_heard() -> None:
    """Its computing is told in full; the answer took no time beside it."""
    clock = PhaseClock(BEGAN)
    clock.placed(0.0, BEGAN, BEGAN + 0.3)
    clock.spoke((Stamp(Phase.PREFILL, 0.25),), BEGAN + 0.3)
    seconds = {stamp.phase: stamp.seconds for stamp in clock.stamps()}
    assert seconds[Phase.PREFILL] == pytest.approx(0.25)
    assert seconds[Phase.RESERVE] == pytest.approx(0.05)


SECONDS = st.floats(0.0, 10.0)
PHASES = st.sampled_from((Phase.PREFILL, Phase.TRANSFER, Phase.DECODE_QUEUE, Phase.PREFIX_PULL))
MOVES = st.lists(st.tuples(SECONDS, SECONDS, SECONDS, st.none() | st.lists(PHASES)), max_size=30)
"""Seconds until it happens, two more times, and what a worker told of; None: an attempt was placed."""


@given(MOVES, SECONDS)
def test_phases_add_up_whatever_happens(
    moves: list[tuple[float, float, float, list[Phase] | None]], rest: float
) -> None:
    """Attempts that are lost, workers whose clocks run wild: the sum is the time, no phase is negative."""
    now = BEGAN
    clock = PhaseClock(BEGAN)
    for wait_s, other_s, answer_s, told in moves:
        now += wait_s
        if told is None:
            clock.placed(min(other_s, wait_s), now, now + answer_s)
            now += answer_s
        else:
            clock.spoke(tuple(Stamp(phase, other_s) for phase in told), now)
    clock.ended(now + rest)
    seconds = [stamp.seconds for stamp in clock.stamps()]
    assert sum(seconds) == pytest.approx(now + rest - BEGAN)
    assert all(one >= -1e-9 for one in seconds)
