"""Virtual time: an asyncio loop on which an hour of sleep passes at once, and every run is the same.

It relies on three private names of asyncio.BaseEventLoop: `_selector`, `_process_events` and
`_write_to_self`. Tests pin them.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

CoroutineLike = Coroutine[Any, Any, T] | Generator[Any, None, T]

MAX_IDLE_TURNS = 100_000
"""Turns of the loop at one instant; more means that somebody spins."""


class Stuck(Exception):
    """Nothing can ever run again, or time cannot pass: a deadlock or a busy loop was found."""


class VirtualSelector:
    """Stands where asyncio keeps its selector: waiting means that time has passed."""

    def __init__(self) -> None:
        self.now = 0.0
        self._idle_turns = 0

    def select(self, timeout: float | None) -> tuple[()]:
        """Adds `timeout` seconds to the time. Raises Stuck if the wait has no end."""
        if timeout is None:
            raise Stuck("every task waits for something that nothing will bring")
        if timeout > 0:
            self.now += timeout
            self._idle_turns = 0
        self._idle_turns += 1
        if self._idle_turns > MAX_IDLE_TURNS:
            self._idle_turns = 0  # the tasks still have to be cancelled on this loop
            raise Stuck(f"time stands still at {self.now:.6f} s: a task spins")
        return ()


class SerialTask(asyncio.Task[T]):
    """Hashes by the order of creation, so that sets of tasks do not depend on addresses."""

    def __init__(self, serial: int, coro: CoroutineLike[T], **options: Any) -> None:
        self._serial = serial  # first: Task.__init__ puts the task into a set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._serial


class VirtualLoop(asyncio.BaseEventLoop):
    """One thread, no I/O, no threads; time starts at 0 and moves only when nobody can run."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = VirtualSelector()
        self._serials = itertools.count()
        self.set_task_factory(self._serial_task)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._selector.now

    def run_in_executor(self, executor: object, func: Callable[..., object], *args: object) -> NoReturn:
        """Refused: a thread would bring real time in. Use protocol.executor.InlineExecutor."""
        raise RuntimeError("a virtual loop has no threads: give this part an InlineExecutor")

    def _serial_task(
        self, loop: asyncio.AbstractEventLoop, coro: CoroutineLike[T], **options: Any
    ) -> SerialTask[T]:
        return SerialTask(next(self._serials), coro, loop=loop, **options)

    def _process_events(self, event_list: object) -> None:
        """No I/O, so no events."""

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never blocks."""


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end on a fresh VirtualLoop. Raises Stuck if it cannot end.

    No cyclic garbage is collected meanwhile: finalizers would run at moments that depend on
    what else the process has allocated.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main)
    finally:
        if collected:
            gc.enable()
