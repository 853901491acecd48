"""An engine that plans a step while another is in flight says the same, and loses nothing."""

from __future__ import annotations

from hypothesis import given, settings

from tests.engine.drive import Drive
from tests.engine.load import LOADS_AHEAD, Load


@settings(max_examples=300)
@given(LOADS_AHEAD)
def test_every_request_of_a_load_ends_with_the_right_tokens(load: Load) -> None:
    """All that may happen to requests happens while a step is in flight: they are dropped, preempted,
    stopped by a token, joined and pinned. Each ends as with one step at a time, and no block is lost."""
    drive = Drive(load)
    drive.play(lambda engine: None)
    names = sorted(one.assignment.request.id for one in load.arrivals)
    assert sorted([*drive.ended, *drive.refused]) == names
