"""What an operator does to a cluster under load: fewer decode workers, more again, a rolling update."""

from __future__ import annotations

import asyncio
import copy
import time
from typing import Any

from tests.chaos.nemesis import Deed, NotMended
from tests.chaos.stage import Stage

POLL_S = 0.5
DONE_S = 400.0
"""A roll-out loads every model again, one after another, on a machine that is busy."""


class Changes:
    """Each change is asked for with `baton apply`, once the one before it is through."""

    def __init__(self, stage: Stage, every_s: float) -> None:
        self._stage = stage
        self._every_s = every_s
        self._ended: set[str] = set()
        self.deeds: list[Deed] = []
        self.gateway_deaths: list[float] = []
        self.through = False

    @property
    def ended(self) -> frozenset[str]:
        """Incarnations that were meant to end."""
        return frozenset(self._ended)

    async def run(self) -> None:
        """All changes. Raises NotMended."""
        decode = self._stage.replicas("decode")
        await self._change(f"scale decode {decode} -> {decode - 1}", self._scaled(decode - 1), 1)
        await self._change(f"scale decode {decode - 1} -> {decode}", self._scaled(decode), 0)
        await self._change("rolling update", self._rescheduled(), self._stage.wanted_workers)
        self.through = True

    async def rest(self, running: asyncio.Task[None]) -> None:
        """They are all made, or none of the figures would count."""
        await running

    async def mended(self) -> None:
        """They are."""

    def _scaled(self, decode: int) -> dict[str, Any]:
        document = copy.deepcopy(self._stage.document)
        document["pools"]["decode"]["replicas"] = decode
        return document

    def _rescheduled(self) -> dict[str, Any]:
        return {**self._stage.document, "scheduling": {"max_running": 63}}

    async def _change(self, what: str, document: dict[str, Any], leaving: int) -> None:
        """One change; `leaving` workers are to end by it, and no other."""
        await asyncio.sleep(self._every_s)
        before = self._lives()
        began_s = time.monotonic()
        await asyncio.to_thread(self._stage.apply, document)
        while not await self._is_through(before, leaving):
            if time.monotonic() > began_s + DONE_S:
                raise NotMended(f"{what}: not through after {DONE_S:.0f} s")
            await asyncio.sleep(POLL_S)
        gone = sorted(before - self._lives())
        self._ended.update(gone[:leaving])
        took_s = time.monotonic() - began_s
        self.deeds.append(Deed(began_s, what))
        print(f"{time.strftime('%H:%M:%S')}  {what}: {len(gone)} workers left, {took_s:.1f} s", flush=True)

    async def _is_through(self, before: set[str], leaving: int) -> bool:
        now = self._lives()
        if len(now) != self._stage.wanted_workers or len(before - now) < leaving:
            return False
        try:
            linked = {one.incarnation for one in await self._stage.workers() if one.total > 0}
        except (OSError, ValueError, KeyError):
            return False
        return now == linked

    def _lives(self) -> set[str]:
        return {engine.incarnation for engine in self._stage.engines()}
