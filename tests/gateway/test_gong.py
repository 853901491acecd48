"""The gong that tells who waits for a place that there may be one."""

from __future__ import annotations

import asyncio

from gateway.gong import Gong
from protocol.clock import LoopClock
from protocol.virtual_loop import run_virtual


def test_a_ring_wakes_everybody_at_once() -> None:
    """In the very moment, however long they were ready to wait."""

    async def run() -> None:
        clock = LoopClock()
        gong = Gong(clock)
        waiting = [asyncio.create_task(gong.heard(gong.rings, 10.0)) for _ in range(3)]
        await clock.sleep(1.0)
        gong.ring()
        await asyncio.gather(*waiting)
        assert clock.now() == 1.0

    run_virtual(run())


def test_a_ring_while_nobody_listened_is_not_missed() -> None:
    """Who looked away meanwhile need not wait."""

    async def run() -> None:
        clock = LoopClock()
        gong = Gong(clock)
        seen = gong.rings
        gong.ring()
        await gong.heard(seen, 10.0)
        assert clock.now() == 0.0

    run_virtual(run())


def test_without_a_ring_the_wait_is_bounded() -> None:
    """It ends by itself, and a cancelled one leaves nothing behind."""

    async def run() -> None:
        clock = LoopClock()
        gong = Gong(clock)
        await gong.heard(gong.rings, 2.0)
        assert clock.now() == 2.0
        left = asyncio.create_task(gong.heard(gong.rings, 10.0))
        await clock.sleep(0.0)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        gong.ring()
        assert gong.rings == 1

    run_virtual(run())
