"""A worker's place in the directory, kept while it lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from protocol.clock import Clock
from protocol.directory import Directory
from protocol.limits import Limits
from protocol.messages import WorkerRecord

LEASE_RENEWALS = 3
"""Renewals that may fail in a row before the worker drops out of the directory."""

logger = logging.getLogger(__name__)


class Registration:
    """Joins, renews, leaves. An error of the directory is counted and never fatal: losing it
    freezes membership, and the next renewal mends it."""

    def __init__(self, directory: Directory, record: WorkerRecord, clock: Clock, limits: Limits) -> None:
        self._directory = directory
        self._record = record
        self._clock = clock
        self._limits = limits
        self._task: asyncio.Task[None] | None = None
        self.failures = 0
        """Calls of the directory that failed."""

    def keep(self) -> None:
        """Enters the worker and keeps it in from now on, until `leave`."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def leave(self) -> None:
        """Stops renewing and takes the worker out. Doing it twice is harmless."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self._attempt(self._directory.leave(self._record.address.identity))

    async def _keep(self) -> None:
        while True:
            await self._renew()
            await self._clock.sleep(self._limits.renew_every_s)

    async def _renew(self) -> None:
        lease_s = LEASE_RENEWALS * self._limits.renew_every_s
        await self._attempt(self._directory.join(self._record, lease_s))

    async def _attempt(self, call: Awaitable[None]) -> None:
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                await call
        except Exception as error:  # whatever the holder of the directory raises
            self.failures += 1
            logger.warning("the directory did not answer (%d so far): %s", self.failures, error)
