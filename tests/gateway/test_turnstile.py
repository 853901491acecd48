"""The turnstile where requests wait for a place."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.fair_line import AT_ONCE_MOST
from gateway.ticket import Ticket
from gateway.turnstile import Turnstile
from protocol.clock import LoopClock
from protocol.virtual_loop import run_virtual

Visit = tuple[int, float, float, float | None]
"""Number, when it comes, how long it stays inside, how long before it is cancelled."""


def ticket(number: int) -> Ticket:
    """Of the request that came as that number, all of one tenant."""
    return Ticket(number, (0.0, number), ("", 0))


async def _visit(turnstile: Turnstile, visit: Visit, log: list[tuple[str, int]]) -> None:
    number, comes_at, stays_s, _ = visit
    await asyncio.sleep(comes_at)
    async with turnstile.turn(ticket(number)):
        log.append(("in", number))
        try:
            await asyncio.sleep(stays_s)
        finally:
            log.append(("out", number))


def _play(visits: list[Visit]) -> tuple[list[tuple[str, int]], bool]:
    async def run() -> tuple[list[tuple[str, int]], bool]:
        log: list[tuple[str, int]] = []
        turnstile = Turnstile(LoopClock(), 0.25)
        tasks = [asyncio.create_task(_visit(turnstile, visit, log)) for visit in visits]
        for task, visit in zip(tasks, visits, strict=True):
            if visit[3] is not None:
                asyncio.get_running_loop().call_later(visit[3], task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        return log, turnstile.is_free

    return run_virtual(run())


def test_the_lowest_number_goes_first_whenever_it_came() -> None:
    """A request that is planned again keeps its place in the order of arrival."""
    log, _ = _play([(5, 0.0, 1.0, None), (7, 0.1, 1.0, None), (3, 0.2, 1.0, None), (4, 0.3, 1.0, None)])
    assert [number for what, number in log if what == "in"] == [5, 3, 4, 7]


def test_it_is_handed_over_so_nobody_slips_in_between() -> None:
    """Whoever comes in the instant of a hand-over finds it taken."""

    async def run() -> None:
        turnstile = Turnstile(LoopClock(), 0.25)
        inside = asyncio.Event()

        async def wait() -> None:
            async with turnstile.turn(ticket(1)):
                inside.set()

        async with turnstile.turn(ticket(0)):
            waiter = asyncio.create_task(wait())
            await asyncio.sleep(0)
        assert not turnstile.is_free
        assert not inside.is_set()
        await waiter
        assert turnstile.is_free

    run_virtual(run())


def test_all_who_wait_may_be_cancelled_at_once() -> None:
    """Cancellations of one instant do not stumble over each other."""
    log, free = _play([(0, 0.0, 2.0, 1.0), (1, 0.1, 1.0, 1.0), (2, 0.2, 1.0, 1.0), (3, 0.3, 1.0, None)])
    assert free
    assert [number for what, number in log if what == "in"] == [0, 3]


moments = st.integers(0, 6).map(lambda ticks: ticks / 2)
visits = st.lists(st.tuples(moments, moments, st.none() | moments), max_size=8)


@given(visits)
def test_one_at_a_time_and_free_in_the_end(drawn: list[tuple[float, float, float | None]]) -> None:
    """Whoever comes, stays or is cancelled whenever: never two inside, nobody forgotten, no trace."""
    numbered = [(number, *visit) for number, visit in enumerate(drawn)]
    log, free = _play(numbered)
    assert free
    for place in range(0, len(log), 2):
        assert log[place][0] == "in"
        assert log[place + 1] == ("out", log[place][1])
    entered = {number for what, number in log if what == "in"}
    assert {number for number, *_, cancelled in numbered if cancelled is None} <= entered


def test_whoever_passes_on_lets_the_next_one_in() -> None:
    """A turn can be over before its visit is; it is handed over once, to the lowest."""

    async def run() -> list[int]:
        turnstile, entered = Turnstile(LoopClock(), 0.25), []

        async def visit(number: int) -> None:
            async with turnstile.turn(ticket(number)) as turn:
                entered.append(number)
                await asyncio.sleep(0.0 if number else 0.1)  # the others come meanwhile
                turn.pass_on()
                turn.pass_on()
                await asyncio.sleep(1.0)
                assert entered == [0, 1, 2]

        await asyncio.gather(*(visit(number) for number in (0, 2, 1)))
        assert turnstile.is_free
        return entered

    assert run_virtual(run()) == [0, 1, 2]


def test_while_all_find_places_more_and_more_try_in_one_breath() -> None:
    """A busy loop turns slowly, so a line that everybody passes is not made of turns of the loop. The first
    that finds no place, or is refused, ends it."""

    async def run() -> None:
        turnstile, turns = Turnstile(LoopClock(), 60.0), 0
        entered: dict[int, list[int]] = {}

        async def visit(number: int) -> None:
            async with turnstile.turn(ticket(number)) as turn:
                await asyncio.sleep(0)  # the others come meanwhile
                entered.setdefault(turns, []).append(number)
                if number == 40:
                    turnstile.one_by_one()
                turn.pass_on()

        visits = [asyncio.create_task(visit(number)) for number in range(50)]
        while not all(one.done() for one in visits):
            await asyncio.sleep(0)
            turns += 1
        groups = list(entered.values())
        assert [number for group in groups for number in group] == list(range(50))
        assert max(map(len, groups)) == AT_ONCE_MOST
        assert len(groups) < 15

    asyncio.run(run())
