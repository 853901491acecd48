"""The clock of one simulated machine: it can jump, and an engine on it can be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from protocol.bell import Bell
from protocol.clock import LoopClock


class NodeClock:
    """As LoopClock; `jump` makes it later at once. Monotonic clocks do that when a machine was
    suspended; they never go back."""

    def __init__(self, offset: float) -> None:
        self._clock = LoopClock()
        self._offset = offset

    def jump(self, seconds: float) -> None:
        """It is later by `seconds`."""
        self._offset += seconds

    def now(self) -> float:
        """Monotonic seconds."""
        return asyncio.get_running_loop().time() + self._offset

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Timers that run are not shortened by a jump."""
        return self._clock.sleep(seconds)

    def deadline(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """As LoopClock."""
        return self._clock.deadline(seconds)

    def heard(self, bell: Bell, seconds: float) -> Coroutine[Any, Any, bool]:
        """As LoopClock."""
        return self._clock.heard(bell, seconds)


class FreezingClock:
    """An engine's view of its machine's clock; whoever sleeps on it wakes no earlier than the thaw.
    That is what SIGSTOP does to a process."""

    def __init__(self, clock: NodeClock) -> None:
        self._clock = clock
        self._thawed = asyncio.Event()
        self._thawed.set()

    def freeze(self) -> None:
        """Nobody wakes from now on."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Everybody goes on."""
        self._thawed.set()

    def now(self) -> float:
        """Goes on while frozen, as real clocks do."""
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`, and after the thaw."""
        await self._clock.sleep(seconds)
        if not self._thawed.is_set():
            await self._thawed.wait()

    def deadline(self, seconds: float) -> FreezingDeadline:
        """Whatever ends the wait is noticed after the thaw."""
        return FreezingDeadline(self._clock.deadline(seconds), self._thawed)

    async def heard(self, bell: Bell, seconds: float) -> bool:
        """Whatever ends the wait is noticed after the thaw."""
        rung = await self._clock.heard(bell, seconds)
        if not self._thawed.is_set():
            await self._thawed.wait()
        return rung


class FreezingDeadline:
    """A deadline that nobody leaves while frozen."""

    __slots__ = ("_scope", "_thawed")

    def __init__(self, scope: AbstractAsyncContextManager[None], thawed: asyncio.Event) -> None:
        self._scope = scope
        self._thawed = thawed

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        finally:
            if not self._thawed.is_set():
                await self._thawed.wait()
