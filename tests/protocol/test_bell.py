"""The bell, and the clock's wait for it."""

from __future__ import annotations

import asyncio

import pytest

from protocol.bell import Bell
from protocol.clock import LoopClock
from protocol.virtual_loop import run_virtual


def test_a_ring_wakes_who_waits_and_is_not_kept() -> None:
    """One ring ends one wait; a ring that nobody hears ends none."""

    async def main() -> None:
        bell, clock = Bell(), LoopClock()
        bell.ring()
        assert not await clock.heard(bell, 2.0)
        assert clock.now() == 2.0
        asyncio.get_running_loop().call_later(1.0, bell.ring)
        assert await clock.heard(bell, 60.0)
        assert clock.now() == 3.0
        assert not await clock.heard(bell, 0.0)

    run_virtual(main())


def test_an_end_of_time_belongs_to_its_own_wait() -> None:
    """A wait that ended early leaves no timer behind that would end the next one."""

    async def main() -> None:
        bell, clock = Bell(), LoopClock()
        asyncio.get_running_loop().call_later(1.0, bell.ring)
        assert await clock.heard(bell, 2.0)
        assert not await clock.heard(bell, 5.0)
        assert clock.now() == 6.0

    run_virtual(main())


def test_a_cancelled_wait_leaves_the_bell_as_it_was() -> None:
    """Whoever waits next hears the next ring."""

    async def main() -> None:
        bell, clock = Bell(), LoopClock()
        waiting = asyncio.create_task(clock.heard(bell, 60.0))
        await clock.sleep(1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        asyncio.get_running_loop().call_later(1.0, bell.ring)
        assert await bell.wait()

    run_virtual(main())
