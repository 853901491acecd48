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


def test_waits_with_one_end_share_a_timer() -> None:
    """Each is over in time, whether its end is that of the one before, a later or an earlier one."""

    async def main() -> None:
        bell, clock = Bell(), LoopClock()
        loop = asyncio.get_running_loop()
        for until in (60.0, 60.0, 60.0 + 1e-9, 90.0):
            loop.call_later(1.0, bell.ring)
            assert await clock.heard(bell, until - clock.now())
        assert not await clock.heard(bell, 90.0 - clock.now())
        assert abs(clock.now() - 90.0) < 1e-5
        loop.call_later(1.0, bell.ring)
        assert await clock.heard(bell, 60.0)
        assert not await clock.heard(bell, 2.0)
        assert abs(clock.now() - 93.0) < 1e-5

    run_virtual(main())


def test_a_bell_at_rest_leaves_no_timer() -> None:
    """Its loop ends nothing and waits for nothing of it."""

    async def main() -> None:
        bell, clock = Bell(), LoopClock()
        asyncio.get_running_loop().call_later(1.0, bell.ring)
        assert await clock.heard(bell, 60.0)
        bell.rest()
        bell.rest()
        asyncio.get_running_loop().call_later(100.0, bell.ring)
        assert await bell.wait()
        assert clock.now() == 101.0

    run_virtual(main())
