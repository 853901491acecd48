"""Who tries when, among those who wait for a place."""

from __future__ import annotations

import asyncio

from gateway.ticket import Ticket
from gateway.turnstile import Turnstile
from protocol.clock import LoopClock
from protocol.virtual_loop import run_virtual
from router.overtaking import LOOK_AHEAD, OVERTAKEN_MOST
from tests.gateway.test_turnstile import ticket


async def _news(turnstile: Turnstile, times: int) -> None:
    """Every second, so many times."""
    for _ in range(times):
        await asyncio.sleep(1.0)
        turnstile.news()


def _rounds(overtakes: int) -> list[int]:
    """Who tries in which order while number 0 finds no place, and others find theirs at their first try;
    there is news every second."""
    tries: list[int] = []

    async def run() -> None:
        turnstile = Turnstile(LoopClock(), 60.0)

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

        await asyncio.gather(_news(turnstile, 3), stuck(), *(lucky(1 + i) for i in range(overtakes)))
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
        await clock.sleep(0.5)
        assert tries[LOOK_AHEAD:] == [(1.0, LOOK_AHEAD)]  # before there is any news
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

        await asyncio.gather(large(), _news(turnstile, 8), *(small(1 + i) for i in range(3 * OVERTAKEN_MOST)))
        return order

    order = run_virtual(run())
    assert OVERTAKEN_MOST <= order.index(0) < 2 * OVERTAKEN_MOST
    assert sorted(set(order)) == list(range(1 + 3 * OVERTAKEN_MOST))
