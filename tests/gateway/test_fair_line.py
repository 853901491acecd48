"""In which order those who wait pass."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from gateway.fair_line import FairLine
from gateway.ticket import Ticket


def line_of(*tickets: Ticket) -> FairLine:
    line = FairLine(lambda: 0.0)
    for ticket in tickets:
        line.enter(ticket)
    return line


def called(*tickets: Ticket) -> list[tuple[int, float]]:
    """Numbers in the order in which they pass, and the start tags they go at."""
    return passing(line_of(*tickets), tickets)


def passing(line: FairLine, waiting: Iterable[Ticket]) -> list[tuple[int, float]]:
    """The same of a line in which these wait."""
    tickets = {ticket.number: ticket for ticket in waiting}
    return [(number, line.leave(tickets[number])[0]) for _ in range(len(line)) for number in line.first(1)]


def test_of_one_tenant_the_soonest_due_goes_first_when_the_oldest_would_make_it_late() -> None:
    """A short prompt that is due soon does not wait for a long one that has time."""
    long = Ticket(1, (0.0, 1), ("a", 0), start_by_s=100.0, work_s=5.0)
    urgent = Ticket(2, (50.0, 2), ("a", 0), start_by_s=1.0, work_s=0.1)
    assert called(long, urgent) == [(2, 0.0), (1, 50.0)]


def test_while_all_can_be_in_time_the_oldest_goes_first() -> None:
    """Nobody is passed without need."""
    old = Ticket(1, (0.0, 1), ("a", 0), start_by_s=100.0, work_s=5.0)
    young = Ticket(2, (50.0, 2), ("a", 0), start_by_s=50.0, work_s=0.1)
    assert called(old, young) == [(1, 0.0), (2, 50.0)]


def test_a_tenant_gains_nothing_from_another_by_being_due_soon() -> None:
    """Between tenants only the fair order counts, and a tenant's requests share its places."""
    patient = Ticket(3, (10.0, 3), ("b", 0), start_by_s=900.0)
    crowd = [Ticket(i, (20.0 * i, i), ("a", 0), start_by_s=1.0 / (i + 1), work_s=2.0) for i in range(3)]
    order = called(patient, *crowd)
    assert [tag for _, tag in order] == [0.0, 10.0, 20.0, 40.0]
    assert order[1][0] == 3


def test_whoever_ran_already_goes_before_its_own_kin() -> None:
    """Its client waits for the next token."""
    fresh = Ticket(1, (0.0, 1), ("a", 0), start_by_s=1.0)
    again = Ticket(2, (5.0, 2), ("a", 0), again=True)
    assert [number for number, _ in called(fresh, again)] == [2, 1]


def test_the_late_let_those_pass_who_can_be_in_time_at_any_moment() -> None:
    """Also those that were tried: the order is of now, not of when they came."""
    now = 0.0
    line = FairLine(lambda: now)
    line.enter(Ticket(1, (0.0, 1), ("a", 0), start_by_s=1.0, work_s=0.1))
    line.enter(Ticket(2, (9.0, 2), ("a", 0), start_by_s=9.0, work_s=0.1))
    assert line.first(2) == (1, 2)
    now = 2.0
    assert line.first(2) == (2, 1)


places = st.tuples(st.integers(0, 9).map(float), st.sampled_from("abc"), st.integers(0, 1))


@given(st.lists(st.tuples(places, st.integers(0, 5), st.booleans()), max_size=12))
def test_each_is_called_once_or_withdrawn_and_no_place_is_lost(
    drawn: list[tuple[tuple[float, str, int], int, bool]],
) -> None:
    """Whatever comes, goes, or changes places: as many calls as stays, lowest places first."""
    line, staying = line_of(), []
    for number, ((tag, tenant, priority), due, leaves) in enumerate(drawn):
        ticket = Ticket(number, (tag, number), (tenant, priority), start_by_s=float(due), work_s=1.0)
        line.enter(ticket)
        if leaves:
            line.withdraw(ticket)
        else:
            staying.append(ticket)
    assert len(line) == len(staying) == len(list(line.places()))
    order = passing(line, staying)
    assert sorted(number for number, _ in order) == [ticket.number for ticket in staying]
    assert [tag for _, tag in order] == sorted(tag for _, tag in order)
    assert len(line) == 0
