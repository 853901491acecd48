"""Whether all blocks came back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tests.chaos.stage import Stage, WorkerStatus

SETTLE_S = 90.0
"""Leases and quarantines lapse within half of it."""
POLL_S = 1.0
AT_REST = ("free", "cache")

Leaks = dict[str, dict[str, int]]
"""Blocks by worker and owner."""


async def settled_leaks(stage: Stage) -> tuple[int, Leaks]:
    """What is still held once nothing more comes back, and how many blocks all pools have."""
    give_up = time.monotonic() + SETTLE_S
    while True:
        workers = await stage.workers()
        leaks = leaked(workers)
        if not leaks or time.monotonic() > give_up:
            return sum(one.total for one in workers), leaks
        await asyncio.sleep(POLL_S)


def leaked(workers: Sequence[WorkerStatus]) -> Leaks:
    """Blocks of a quiet cluster that are neither free nor merely cached, or that do not add up."""
    found = {one.worker: _odd(one) for one in workers}
    return {worker: odd for worker, odd in found.items() if odd}


def _odd(one: WorkerStatus) -> dict[str, int]:
    odd = {owner: count for owner, count in one.held.items() if count and owner not in AT_REST}
    if sum(one.held.values()) != one.total:
        odd["missing"] = one.total - sum(one.held.values())
    if one.free != one.total:
        odd["not available"] = one.total - one.free
    if not one.idle:
        odd["sequences"] = 1
    return odd
