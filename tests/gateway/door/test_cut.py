"""A task that is cut off by what watches over it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.door.cut import Cut


async def test_a_watch_that_ends_cancels_its_task_once() -> None:
    """And the task can go on afterwards as if nobody had cancelled it."""
    watch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cut = Cut(watch)
    asyncio.get_running_loop().call_later(0.01, watch.set_result, None)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(10.0)
    assert cut.take_back()
    cut.over()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_watch_that_ends_too_late_changes_nothing() -> None:
    """Also when it ended in the same turn of the loop."""
    watch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cut = Cut(watch)
    watch.set_result(None)
    cut.over()
    await asyncio.sleep(0.01)
    assert not cut.take_back()


async def test_a_cancellation_from_outside_stays_one() -> None:
    """Whether or not a watch ended as well."""

    async def watched(watch: asyncio.Future[None]) -> bool:
        cut = Cut(watch)
        try:
            await asyncio.sleep(10.0)
        except asyncio.CancelledError:
            return cut.take_back()
        finally:
            cut.over()
        return True

    for ends in (False, True):
        watch: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(watched(watch))
        await asyncio.sleep(0)
        if ends:
            watch.set_result(None)
            await asyncio.sleep(0)
        task.cancel()
        assert not await task
