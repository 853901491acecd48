"""The clock on the real loop and on the virtual one."""

from __future__ import annotations

import asyncio

import pytest

from protocol.virtual_loop import run_virtual
from tests.protocol.clock_conformance import CLOCK_PROMISES, Promise


@pytest.mark.parametrize("promise", CLOCK_PROMISES, ids=lambda p: p.__name__)
def test_clock_on_the_real_loop(promise: Promise) -> None:
    """A LoopClock keeps every promise of the seam on asyncio's own loop."""
    asyncio.run(_run(promise))


@pytest.mark.parametrize("promise", CLOCK_PROMISES, ids=lambda p: p.__name__)
def test_clock_on_the_virtual_loop(promise: Promise) -> None:
    """A LoopClock keeps every promise of the seam on the virtual loop."""
    run_virtual(_run(promise))


async def _run(promise: Promise) -> None:
    await promise()
