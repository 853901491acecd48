"""Virtual time: an asyncio loop on which an hour of sleep passes at once, and every run is the same.

It relies on private names of asyncio: `_run_once`, `_ready`, `_stopping` and `_write_to_self` of
BaseEventLoop, and the slots of Handle and TimerHandle. Tests pin them.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CoroutineLike = Coroutine[Any, Any, T] | Generator[Any, None, T]

MAX_IDLE_TURNS = 100_000
"""Turns of the loop at one instant; more means that somebody spins."""
MAX_CANCELLED = 1000
"""Cancelled timers that are kept until their time comes; more are cleared away when they are the most."""


class Stuck(Exception):
    """Nothing can ever run again, or time cannot pass: a deadlock or a busy loop was found."""


class SerialTask(asyncio.Task[T]):
    """Hashes by the order of creation, so that sets of tasks do not depend on addresses."""

    def __init__(self, serial: int, coro: CoroutineLike[T], **options: Any) -> None:
        self._serial = serial  # first: Task.__init__ puts the task into a set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._serial


class VirtualHandle(asyncio.TimerHandle):
    """asyncio's handle without what serves debugging: one run of a simulation makes ten thousand."""

    __slots__ = ()
    _callback: Any
    _args: Any
    _context: Context
    _loop: VirtualLoop
    _scheduled: bool
    """Whether it still waits for its time."""
    _repr = None
    _source_traceback = None

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[object, ...],
        loop: VirtualLoop,
        context: Context | None,
        when: float | None = None,
    ) -> None:
        """`when`: None for the next turn."""
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._scheduled = when is not None
        self._when = when or 0.0

    def due(self) -> None:
        """Its time has come."""
        self._scheduled = False

    def cancel(self) -> None:
        """It will not run, if it has not."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            if self._scheduled:
                self._loop.count_cancelled()


class VirtualTimers:
    """What is due later, by time and then by order of asking. A heap of tuples, because comparing
    asyncio's own handles costs more than all the rest of a turn."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, VirtualHandle]] = []
        self._serials = itertools.count()
        self._cancelled = 0

    def add(self, when: float, handle: VirtualHandle) -> None:
        """One more."""
        heapq.heappush(self._heap, (when, next(self._serials), handle))

    def count_cancelled(self) -> None:
        """One of them will not run."""
        self._cancelled += 1
        if self._cancelled > max(MAX_CANCELLED, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if not entry[2].cancelled()]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_at(self) -> float | None:
        """When the next one is due; None if there is none."""
        while self._heap and self._heap[0][2].cancelled():
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float, ready: deque[asyncio.Handle]) -> None:
        """Moves everything that is due to `ready`."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            handle = heapq.heappop(heap)[2]
            if handle._cancelled:
                self._cancelled -= 1
            else:
                handle.due()
                ready.append(handle)


class VirtualLoop(asyncio.BaseEventLoop):
    """One thread, no I/O, no threads; time starts at 0 and moves only when nobody can run."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._idle_turns = 0
        self._timers = VirtualTimers()
        self._serials = itertools.count()
        self.set_task_factory(self._serial_task)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio, without the checks for other threads."""
        handle = VirtualHandle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio; of callbacks at the same time, the first asked for comes first."""
        handle = VirtualHandle(callback, args, self, context, when)
        self._timers.add(when, handle)
        return handle

    def count_cancelled(self) -> None:
        """A timer will not run."""
        self._timers.count_cancelled()

    def run_in_executor(self, executor: object, func: Callable[..., object], *args: object) -> NoReturn:
        """Refused: a thread would bring real time in. Use protocol.executor.InlineExecutor."""
        raise RuntimeError("a virtual loop has no threads: give this part an InlineExecutor")

    def _run_once(self) -> None:
        """Turns until the loop is stopped: time passes if nobody can run; then everyone runs who can at
        this instant. Raises Stuck if nobody ever can, or if time cannot pass."""
        ready = self._ready
        while True:
            if not ready:
                self._pass_time()
            self._idle_turns += 1
            if self._idle_turns > MAX_IDLE_TURNS:
                self._idle_turns = 0  # the tasks still have to be cancelled on this loop
                raise Stuck(f"time stands still at {self._now:.6f} s: a task spins")
            self._timers.take_due(self._now, ready)
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
            if self._stopping:
                return

    def _pass_time(self) -> None:
        next_at = self._timers.next_at()
        if next_at is None:
            raise Stuck("every task waits for something that nothing will bring")
        if next_at > self._now:
            self._now = next_at
            self._idle_turns = 0

    def _serial_task(
        self, loop: asyncio.AbstractEventLoop, coro: CoroutineLike[T], **options: Any
    ) -> SerialTask[T]:
        return SerialTask(next(self._serials), coro, loop=loop, **options)

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
