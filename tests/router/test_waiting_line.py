"""Who waits is placed by what can still be kept."""

from __future__ import annotations

from router.waiting_line import WaitingLine


def test_the_soonest_due_goes_first() -> None:
    """Of those in time, the one that has to begin first."""
    line = WaitingLine()
    line.enter(1, 5.0)
    line.enter(2, 3.0)
    assert line.first(2, now=0.0) == (2, 1)


def test_the_late_make_room_and_are_not_forgotten() -> None:
    """Who cannot be in time any more waits behind those who can, in order of arrival."""
    line = WaitingLine()
    for number, start_by in ((1, 1.0), (2, 2.0), (3, 9.0)):
        line.enter(number, start_by)
    assert line.first(3, now=5.0) == (3, 1, 2)


def test_who_ran_before_goes_before_all() -> None:
    """A client that already has tokens waits for the next one."""
    line = WaitingLine()
    line.enter(1, 1.0)
    line.enter_again(7)
    assert line.first(1, now=0.0) == (7,)


def test_leaving_from_any_part() -> None:
    """Whoever has a place waits no more."""
    line = WaitingLine()
    for number, start_by in ((1, 1.0), (2, 8.0), (3, 9.0)):
        line.enter(number, start_by)
    line.enter_again(4)
    assert line.first(4, now=5.0) == (4, 2, 3, 1)
    for number in (3, 4, 1):
        line.leave(number)
    assert line.first(4, now=5.0) == (2,) and len(line) == 1
