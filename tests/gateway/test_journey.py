"""What a request keeps over its attempts."""

from __future__ import annotations

from gateway.journey import Journey
from protocol.ids import AttemptKey, RequestId
from protocol.messages import TokenDelta
from protocol.stamp import Phase, Stamp
from tests.gateway.gateway_scene import request


def delta(position: int, *stamps: Stamp, cached: int = 0) -> TokenDelta:
    """One token."""
    key = AttemptKey(RequestId("r"), 1)
    return TokenDelta(key, position, (position,), cached_tokens=cached, stamps=stamps)


def test_accepted_tokens_are_the_state() -> None:
    """What was accepted is what a new attempt is told; cached tokens are those of the first attempt."""
    journey = Journey(request(), (0.0, 0), 10.0)
    journey.accept(delta(0, cached=16), 11.0)
    event = journey.accept(delta(1, cached=99), 12.0)
    assert journey.sent == [0, 1]
    assert event.cached_tokens == 16
    assert journey.remaining_s(12.0) == 598.0


def test_a_lost_attempt_counts_as_waiting() -> None:
    """Each second until the first token is stamped once, though the first attempt came to nothing."""
    journey = Journey(request(), (0.0, 0), 10.0)
    journey.phases.placed(0.0, 11.0, 11.5)
    journey.phases.placed(0.25, 14.0, 14.5)
    event = journey.accept(delta(0, Stamp(Phase.PREFILL, 0.25)), 15.0)
    assert {stamp.phase: stamp.seconds for stamp in event.stamps} == {
        Phase.QUEUE: 3.75,
        Phase.PLAN: 0.25,
        Phase.RESERVE: 0.5,
        Phase.PREFILL: 0.25,
        Phase.FIRST: 0.25,
    }


def test_waiting_in_the_middle_counts_from_the_last_token() -> None:
    """Time in which tokens flowed is no waiting."""
    journey = Journey(request(), (0.0, 0), 10.0)
    journey.phases.placed(0.0, 10.0, 10.0)
    journey.accept(delta(0), 20.0)
    journey.phases.placed(0.0, 23.0, 23.5)
    event = journey.accept(delta(1, Stamp(Phase.PREFILL, 0.5)), 24.0)
    seconds = {stamp.phase: stamp.seconds for stamp in event.stamps}
    assert (seconds[Phase.QUEUE], seconds[Phase.FIRST]) == (3.0, 10.0)


def test_two_deaths_make_a_suspect() -> None:
    """One may be bad luck."""
    journey = Journey(request(), (0.0, 0), 0.0)
    assert not journey.suspect
    journey.suspicion = 1
    assert not journey.suspect
    journey.suspicion = 2
    assert journey.suspect
