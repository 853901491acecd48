"""Several generations become one stream, and end together or alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from gateway.door.chorus import BACKLOG, Chorus
from gateway.generator import TokenEvent
from protocol.errors import WorkerLost


class Singer:
    """One voice: `notes` events, then its end or a failure."""

    def __init__(self, notes: int, fails: bool = False) -> None:
        self.sung = 0
        self.closed = False
        self._notes = notes
        self._fails = fails

    async def sing(self) -> AsyncGenerator[TokenEvent, None]:
        """Numbers its events."""
        try:
            while self.sung < self._notes:
                await asyncio.sleep(0)
                self.sung += 1
                yield TokenEvent(self.sung - 1, (7,), (), None, 0)
            if self._fails:
                raise WorkerLost("hoarse")
        finally:
            self.closed = True


def chorus_of(*singers: Singer) -> Chorus:
    """Their voices."""
    return Chorus([singer.sing() for singer in singers])


@pytest.mark.parametrize("count", [1, 3])
async def test_every_event_comes_once_and_in_order(count: int) -> None:
    """Whatever the interleaving."""
    singers = [Singer(5 + 200 * place) for place in range(count)]
    heard: dict[int, list[int]] = {}
    chorus = chorus_of(*singers)
    async for event in chorus.events():
        heard.setdefault(chorus.number, []).append(event.first_index)
    assert heard == {place: list(range(5 + 200 * place)) for place in range(count)}
    assert all(singer.closed for singer in singers)


@pytest.mark.parametrize("count", [1, 3])
async def test_a_failure_of_one_closes_all(count: int) -> None:
    """The error is the failing one's own."""
    singers = [Singer(3, fails=True), *(Singer(10_000) for _ in range(count - 1))]
    with pytest.raises(WorkerLost, match="hoarse"):
        async with aclosing(chorus_of(*singers).events()) as events:
            async for _ in events:
                pass
    assert all(singer.closed for singer in singers)


@pytest.mark.parametrize("count", [1, 3])
async def test_a_silenced_voice_says_nothing_more(count: int) -> None:
    """Its generation is closed, the others go on to their ends."""
    singers = [Singer(10_000), *(Singer(20) for _ in range(count - 1))]
    chorus = chorus_of(*singers)
    heard: list[int] = []
    async for event in chorus.events():
        heard.append(chorus.number)
        if chorus.number == 0 and event.first_index == 2:
            await chorus.silence(0)
    assert heard.count(0) == 3
    assert len(heard) == 3 + 20 * (count - 1)
    assert all(singer.closed for singer in singers)


@pytest.mark.parametrize("count", [1, 3])
async def test_leaving_early_closes_all(count: int) -> None:
    """Before the close returns."""
    singers = [Singer(10_000) for _ in range(count)]
    async with aclosing(chorus_of(*singers).events()) as events:
        async for _ in events:
            break
    assert all(singer.closed for singer in singers)


async def test_a_listener_that_waits_holds_the_voices_back() -> None:
    """Together they run ahead by the backlog and no further."""
    singers = [Singer(10_000), Singer(10_000)]
    async with aclosing(chorus_of(*singers).events()) as events:
        await anext(events)
        await asyncio.sleep(0.05)
        assert sum(singer.sung for singer in singers) <= BACKLOG + 4
