"""What every executor must do, in coroutines that get a fresh one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from protocol.errors import DeadlineExceeded, InvalidRequest, Overloaded
from protocol.executor import Executor

ExecutorPromise = Callable[[Executor], Awaitable[None]]

ENOUGH_S = 20.0


async def it_returns_what_the_call_returns(executor: Executor) -> None:
    """The value of the call comes back, whatever its type."""
    assert await executor.run(lambda: 6 * 7, ENOUGH_S) == 42
    assert await executor.run(dict, ENOUGH_S) == {}


async def it_raises_what_the_call_raises(executor: Executor) -> None:
    """Errors come back as they are, and the next call works."""

    def refuse() -> None:
        raise InvalidRequest("an unknown role")

    with pytest.raises(InvalidRequest, match="unknown role"):
        await executor.run(refuse, ENOUGH_S)
    assert await executor.run(lambda: "next", ENOUGH_S) == "next"


async def each_caller_gets_its_own_answer(executor: Executor) -> None:
    """Calls at the same time do not mix."""
    numbers = range(8)
    answers = await asyncio.gather(*(executor.run(partial(pow, n, 2), ENOUGH_S) for n in numbers))
    assert answers == [n * n for n in numbers]


async def it_lets_others_run(executor: Executor) -> None:
    """Awaiting a call gives way to other tasks at least once."""
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    task = asyncio.create_task(other())
    await executor.run(lambda: None, ENOUGH_S)
    assert seen == ["other"]
    await task


async def a_spent_deadline_never_runs(executor: Executor) -> None:
    """With no time left the call is not even begun."""
    begun: list[bool] = []
    for seconds in (0.0, -1.0):
        with pytest.raises(DeadlineExceeded):
            await executor.run(lambda: begun.append(True), seconds)
    assert begun == []


async def a_closed_executor_refuses(executor: Executor) -> None:
    """After close every call is Overloaded; closing twice is harmless."""
    await executor.close()
    await executor.close()
    with pytest.raises(Overloaded):
        await executor.run(lambda: 1, ENOUGH_S)


EXECUTOR_PROMISES: list[ExecutorPromise] = [
    it_returns_what_the_call_returns,
    it_raises_what_the_call_raises,
    each_caller_gets_its_own_answer,
    it_lets_others_run,
    a_spent_deadline_never_runs,
    a_closed_executor_refuses,
]
