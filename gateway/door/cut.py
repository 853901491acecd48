"""Cancels a task from within when one of its watches ends, as asyncio's own timeout does."""

from __future__ import annotations

import asyncio


class Cut:
    """Of the task that makes it: cheaper than a task of its own for what is watched over."""

    def __init__(self, *watches: asyncio.Future[None]) -> None:
        """The task is cancelled when the first of `watches` ends, unless it was `over` before."""
        self._watches = watches
        self._task = asyncio.current_task()
        self._over = False
        self._cancelled = False
        for watch in watches:
            watch.add_done_callback(self._cancel)

    def take_back(self) -> bool:
        """Whether the cancellation that has come is of a watch, and of nobody else as well."""
        if not self._cancelled or self._task is None:
            return False
        self._cancelled = False
        return self._task.uncancel() == 0

    def over(self) -> None:
        """Whatever the watches say from now on, the task goes on."""
        self._over = True
        self.take_back()
        for watch in self._watches:
            watch.cancel()

    def _cancel(self, _: object) -> None:
        if not self._over and not self._cancelled and self._task is not None:
            self._cancelled = True
            self._task.cancel()
