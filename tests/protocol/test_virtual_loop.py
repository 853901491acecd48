"""The virtual loop: time, deadlocks, and runs that repeat."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time

import pytest

from protocol.clock import LoopClock
from protocol.virtual_loop import Stuck, VirtualLoop, run_virtual

TRACE = """
import asyncio, random
from protocol.clock import LoopClock
from protocol.virtual_loop import run_virtual

async def main():
    clock, dice, trace = LoopClock(), random.Random(3), []
    async def walk(name):
        for _ in range(20):
            await clock.sleep(dice.choice((0.0, 0.1, 0.1, 0.25)))
            trace.append((name, round(clock.now(), 6)))
    tasks = {asyncio.create_task(walk(n)) for n in range(30)}
    await asyncio.wait(tasks)
    trace.extend(t.get_coro().cr_code.co_name for t in asyncio.all_tasks())
    return trace

import hashlib
print(hashlib.sha256(repr(run_virtual(main())).encode()).hexdigest())
"""


def test_an_hour_passes_at_once() -> None:
    """Sleeping moves virtual time exactly and takes no real time."""
    real = time.monotonic()
    assert run_virtual(_sleep_and_tell(3600.0)) == pytest.approx(3600.0)
    assert time.monotonic() - real < 2.0


def test_time_starts_at_zero_for_every_run() -> None:
    """No run inherits another's time."""
    assert run_virtual(_sleep_and_tell(0.0)) == 0.0


def test_a_deadlock_is_stuck() -> None:
    """A wait that nothing can end raises Stuck, and the stuck task is still cleaned up."""
    ended: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned")

    with pytest.raises(Stuck, match="nothing will bring"):
        run_virtual(wait_for_ever())
    assert ended == ["cleaned"]


def test_a_busy_loop_is_stuck(caplog: pytest.LogCaptureFixture) -> None:
    """A task that spins without letting time pass raises Stuck rather than hang, and is ended."""

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="spins"):
        run_virtual(spin())
    gc.collect()
    assert caplog.records == []


def test_timers_run_in_order_of_time_and_then_of_asking() -> None:
    """Equal times do not fall back on addresses; a cancelled timer never runs, however many there are."""

    async def main() -> list[int]:
        loop, ran = asyncio.get_running_loop(), list[int]()
        handles = [loop.call_later(1.0 + (n % 3), ran.append, n) for n in range(6000)]
        for number, handle in enumerate(handles):
            if number >= 9:
                handle.cancel()
        await asyncio.sleep(2.5)
        assert loop.time() == 2.5
        await asyncio.sleep(1.0)
        return ran

    assert run_virtual(main()) == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_threads_are_refused() -> None:
    """A part that reaches for a thread is told what to use instead."""
    with pytest.raises(RuntimeError, match="InlineExecutor"):
        run_virtual(_in_a_thread())


def test_tasks_hash_by_serial_number() -> None:
    """A set of tasks has the order of their creation."""

    async def main() -> list[int]:
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(100)]
        order = [tasks.index(task) for task in set(reversed(tasks))]
        await asyncio.gather(*tasks)
        return order

    assert run_virtual(main()) == list(range(100))


def test_no_garbage_is_collected_inside_a_run() -> None:
    """The collector is off during a run and as before afterwards."""

    async def main() -> bool:
        return gc.isenabled()

    assert gc.isenabled()
    assert run_virtual(main()) is False
    assert gc.isenabled()


def test_equal_runs_in_any_process() -> None:
    """The same program has the same trace whatever the hash seed."""
    traces = [_trace(seed) for seed in ("1", "2", "random")]
    assert len(set(traces)) == 1


def test_the_private_names_it_stands_on_exist() -> None:
    """asyncio still drives a loop through the names that VirtualLoop replaces and uses."""
    assert "_run_once" in asyncio.BaseEventLoop.run_forever.__code__.co_names
    assert "_ready" in asyncio.BaseEventLoop._call_soon.__code__.co_names  # type: ignore[attr-defined]
    assert "_stopping" in asyncio.BaseEventLoop.run_forever.__code__.co_names
    assert "_write_to_self" in asyncio.BaseEventLoop.call_soon_threadsafe.__code__.co_names
    assert callable(asyncio.Handle._run)
    loop = VirtualLoop()
    loop.close()
    assert loop.is_closed()


async def _sleep_and_tell(seconds: float) -> float:
    await LoopClock().sleep(seconds)
    return LoopClock().now()


async def _in_a_thread() -> None:
    await asyncio.to_thread(time.monotonic)


def _trace(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()}
    run = subprocess.run(
        [sys.executable, "-c", TRACE], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout
