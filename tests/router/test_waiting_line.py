"""Who waits is placed by what can still be kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.waiting_line import LATE_TURN, WaitingLine


def test_order_of_arrival_while_all_can_be_in_time() -> None:
    """Nobody jumps the line without need."""
    line = WaitingLine()
    line.enter(1, 5.0, work_s=1.0)
    line.enter(2, 3.0, work_s=1.0)
    assert line.first(2, now=0.0) == (1, 2)


def test_the_soonest_due_goes_first_when_the_oldest_would_make_it_late() -> None:
    """The oldest has time; who would be late behind it goes before it."""
    line = WaitingLine()
    line.enter(1, 9.0, work_s=4.0)
    line.enter(2, 3.0, work_s=1.0)
    assert line.first(2, now=0.0) == (2, 1)


def test_the_late_make_room_and_are_not_forgotten() -> None:
    """Who cannot be in time any more waits behind those who can, in order of arrival."""
    line = WaitingLine()
    for number, start_by in ((1, 1.0), (2, 2.0), (3, 9.0)):
        line.enter(number, start_by, work_s=0.1)
    assert line.first(3, now=5.0) == (3, 1, 2)


def test_the_late_do_not_starve() -> None:
    """However many can be in time, one place in LATE_TURN is for the longest late."""
    line, late, placed = WaitingLine(), (1, 2, 3), []
    for number in late:
        line.enter(number, 0.0, work_s=0.1)
    for number in range(4, 60):
        line.enter(number, 1000.0, work_s=0.1)
        (next_one,) = line.first(1, now=1.0)
        line.leave(next_one)
        placed.append(next_one)
    assert [placed.index(number) for number in late] == [LATE_TURN * turn - 1 for turn in late]


def test_who_ran_before_goes_before_all() -> None:
    """A client that already has tokens waits for the next one."""
    line = WaitingLine()
    line.enter(1, 1.0, work_s=0.1)
    line.enter_again(7)
    assert line.first(1, now=0.0) == (7,)


def test_who_comes_back_is_in_the_line_once() -> None:
    """Its earlier stay is over, also for the order of who is due."""
    line = WaitingLine()
    for number, start_by in ((1, 10.0), (2, 8.0), (3, 20.0)):
        line.enter(number, start_by, work_s=5.0)
    line.withdraw(1)
    line.enter(1, 10.0, work_s=5.0)
    assert line.first(9, now=0.0) == (1, 2, 3)
    assert line.first(9, now=4.0) == (2, 1, 3)


@given(st.lists(st.tuples(st.floats(0.0, 9.0), st.floats(0.0, 3.0)), max_size=20), st.data())
def test_everybody_is_in_the_line_once(entries: list[tuple[float, float]], data: st.DataObject) -> None:
    """Whatever enters and leaves as time passes: those who wait are named once each, nobody else is."""
    line, waiting = WaitingLine(), set()
    for number, (start_by, work) in enumerate(entries):
        line.enter(number, start_by, work)
        waiting.add(number)
        if data.draw(st.booleans()):
            leaver = data.draw(st.sampled_from(line.first(3, now=data.draw(st.floats(0.0, 9.0)))))
            line.leave(leaver)
            waiting.remove(leaver)
        found = line.first(len(entries), now=float(number))
        assert sorted(found) == sorted(waiting) and len(line) == len(waiting)
