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
from router.overtaking import LOOK_AHEAD, OVERTAKEN_MOST

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


def _rounds(overtakes: int) -> list[int]:
    """Who tries in which order while number 0 finds no place, and others find theirs at their first try;
    there is news every second."""
    tries: list[int] = []

    async def run() -> None:
        turnstile = Turnstile(LoopClock(), 60.0)

        async def news() -> None:
            for _ in range(3):
                await asyncio.sleep(1.0)
                turnstile.news()

        async def stuck() -> None:
            async with turnstile.turn(ticket(0)) as turn:
                await asyncio.sleep(0.1)  # the others come meanwhile
                for _ in range(3):
                    tries.append(0)
                    await turn.others_try()

        async def lucky(number: int) -> None:
            async with turnstile.turn(ticket(number)) as turn:
                tries.append(number)
                turn.placed()

        await asyncio.gather(news(), stuck(), *(lucky(1 + i) for i in range(overtakes)))
        assert turnstile.is_free

    run_virtual(run())
    return tries


def test_behind_one_who_finds_no_place_others_try() -> None:
    """A long prompt without room does not keep short ones waiting that have it."""
    assert _rounds(3) == [0, 1, 2, 3, 0, 0]


def test_nobody_is_overtaken_for_ever() -> None:
    """After so many places for others, all that becomes free is kept for the first."""
    tries = _rounds(OVERTAKEN_MOST + 2)
    assert tries[: OVERTAKEN_MOST + 1] == list(range(OVERTAKEN_MOST + 1))
    assert tries[OVERTAKEN_MOST + 1 :] == [0, 0, OVERTAKEN_MOST + 1, OVERTAKEN_MOST + 2]


def _unlucky(count: int, comes_at: float, newest: Ticket | None = None) -> list[tuple[float, int]]:
    """Moments and numbers of all tries, where nobody finds a place and there is news after one second; the
    `newest` comes at `comes_at`."""
    tries: list[tuple[float, int]] = []

    async def run() -> None:
        clock = LoopClock()
        turnstile = Turnstile(clock, 60.0)

        async def client(own: Ticket, at: float) -> None:
            await clock.sleep(at)
            async with turnstile.turn(own) as turn:
                while clock.now() < 1.0:
                    tries.append((clock.now(), own.number))
                    await turn.others_try()
                tries.append((clock.now(), own.number))

        tasks = [asyncio.create_task(client(ticket(number), 0.0)) for number in range(count)]
        if newest is not None:
            tasks.append(asyncio.create_task(client(newest, comes_at)))
        await clock.sleep(1.0)
        turnstile.news()
        await asyncio.gather(*tasks)
        assert turnstile.is_free

    run_virtual(run())
    return tries


def test_only_a_few_look_past_the_first() -> None:
    """They try one after another, wait for news together, and then try again in their order."""
    tries = [number for _, number in _unlucky(LOOK_AHEAD + 1, 0.0)]
    assert tries[: 2 * LOOK_AHEAD] == [*range(LOOK_AHEAD), *range(LOOK_AHEAD)]


def test_who_comes_while_others_wait_for_news_tries_at_once() -> None:
    """As long as few stand before it."""
    assert (0.5, 7) in _unlucky(LOOK_AHEAD - 1, 0.5, ticket(7))
    assert (0.5, 7) not in _unlucky(LOOK_AHEAD, 0.5, ticket(7))


def test_who_would_be_late_lets_others_pass_though_it_was_tried() -> None:
    """After news, the order is that of the moment."""

    async def run() -> list[int]:
        clock = LoopClock()
        turnstile, tries = Turnstile(clock, 60.0), list[int]()

        async def client(own: Ticket) -> None:
            async with turnstile.turn(own) as turn:
                for _ in range(2):
                    tries.append(own.number)
                    await turn.others_try()

        soon = Ticket(0, (0.0, 0), ("", 0), start_by_s=0.5, work_s=0.1)
        later = Ticket(1, (0.0, 1), ("", 0), start_by_s=9.0, work_s=0.1)
        clients = [asyncio.create_task(client(own)) for own in (soon, later)]
        for _ in range(2):
            await clock.sleep(1.0)
            turnstile.news()
        await asyncio.gather(*clients)
        return tries

    assert run_virtual(run()) == [0, 1, 1, 0]


def test_without_news_those_who_tried_look_again() -> None:
    """Whatever was not heard of: nobody waits for ever."""

    async def run() -> float:
        clock = LoopClock()
        async with Turnstile(clock, 0.25).turn(ticket(0)) as turn:
            await turn.others_try()
            return clock.now()

    assert run_virtual(run()) == 0.25


def test_news_while_somebody_tries_is_not_missed() -> None:
    """It may be of what it has looked at already: it tries once more."""

    async def run() -> float:
        clock = LoopClock()
        turnstile = Turnstile(clock, 60.0)
        async with turnstile.turn(ticket(0)) as turn:
            turnstile.news()
            await turn.others_try()
            return clock.now()

    assert run_virtual(run()) < 0.1


def test_who_was_never_called_is_when_those_before_it_give_up() -> None:
    """Nobody depends on news that may not come."""

    async def run() -> list[tuple[float, int]]:
        clock = LoopClock()
        turnstile, tries = Turnstile(clock, 60.0), list[tuple[float, int]]()

        async def unlucky(number: int) -> None:
            async with turnstile.turn(ticket(number)) as turn:
                tries.append((clock.now(), number))
                await turn.others_try()

        clients = [asyncio.create_task(unlucky(number)) for number in range(LOOK_AHEAD + 1)]
        await clock.sleep(1.0)
        for one in clients[:LOOK_AHEAD]:
            one.cancel()
        await asyncio.gather(*clients[:LOOK_AHEAD], return_exceptions=True)
        turnstile.news()
        await clients[LOOK_AHEAD]
        assert turnstile.is_free
        return tries

    assert run_virtual(run()) == [*((0.0, number) for number in range(LOOK_AHEAD)), (1.0, LOOK_AHEAD)]


def test_who_is_asked_for_and_refused_stands_where_it_stood() -> None:
    """Others tried meanwhile, and what they got counts: a large one that is refused again and again is not
    passed for ever."""

    async def run() -> list[int]:
        clock = LoopClock()
        turnstile, order = Turnstile(clock, 60.0), list[int]()

        async def large() -> None:
            async with turnstile.turn(ticket(0)) as turn:
                await clock.sleep(0.1)  # the others come meanwhile
                while len(order) < OVERTAKEN_MOST + 1:
                    turn.pass_on()
                    await clock.sleep(0.5)
                    order.append(0)
                    await turn.others_try()

        async def small(number: int) -> None:
            async with turnstile.turn(ticket(number)) as turn:
                order.append(number)
                turn.placed()

        async def news() -> None:
            for _ in range(8):
                await clock.sleep(1.0)
                turnstile.news()

        await asyncio.gather(large(), news(), *(small(1 + i) for i in range(3 * OVERTAKEN_MOST)))
        return order

    order = run_virtual(run())
    assert OVERTAKEN_MOST <= order.index(0) < 2 * OVERTAKEN_MOST
    assert sorted(set(order)) == list(range(1 + 3 * OVERTAKEN_MOST))
