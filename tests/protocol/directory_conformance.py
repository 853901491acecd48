"""What every directory must do, in coroutines that get two clients of one empty directory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from protocol.clock import Clock
from protocol.directory import Directory
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.messages import WorkerAddress, WorkerRecord

LONG_S = 60.0
SHORT_S = 0.4


@dataclass(frozen=True, slots=True)
class DirectoryWorld:
    """Two processes' views of one directory, and the time that it runs on."""

    worker: Directory
    gateway: Directory
    clock: Clock


DirectoryPromise = Callable[[DirectoryWorld], Awaitable[None]]


def record(worker: str, incarnation: str = "first", port: int = 7000) -> WorkerRecord:
    """One line."""
    identity = WorkerIdentity(WorkerId(worker), Incarnation(incarnation))
    return WorkerRecord(
        address=WorkerAddress(identity, "127.0.0.1", port),
        role="decode",
        model="baton-tiny",
        max_context=8192,
        total_blocks=1024,
        block_size=16,
        fingerprint="f" * 64,
    )


async def a_fresh_directory_is_empty(world: DirectoryWorld) -> None:
    """Nobody is a member until somebody joins."""
    assert await world.gateway.members() == ()


async def who_joins_is_seen(world: DirectoryWorld) -> None:
    """A record that one process enters is read by another, equal in every field."""
    await world.worker.join(record("decode-0"), LONG_S)
    assert await world.gateway.members() == (record("decode-0"),)


async def members_come_in_order_of_id(world: DirectoryWorld) -> None:
    """The order is that of worker ids, whatever the order of joining."""
    for name in ("decode-1", "prefill-0", "decode-10", "decode-0", "Zebra", "décode"):
        await world.worker.join(record(name), LONG_S)
    names = [member.worker for member in await world.gateway.members()]
    assert names == sorted(names)
    assert len(names) == 6


async def a_lease_lapses(world: DirectoryWorld) -> None:
    """Who does not renew is gone after the lease, and not before."""
    await world.worker.join(record("decode-0"), SHORT_S)
    await world.worker.join(record("decode-1"), LONG_S)
    assert len(await world.gateway.members()) == 2
    await world.clock.sleep(SHORT_S + 0.2)
    assert await world.gateway.members() == (record("decode-1"),)


async def renewing_keeps(world: DirectoryWorld) -> None:
    """Joining again extends the lease and enters the newest facts."""
    for port in (1, 2, 3, 4):
        await world.worker.join(record("decode-0", port=port), SHORT_S)
        await world.clock.sleep(SHORT_S / 2)
    assert await world.gateway.members() == (record("decode-0", port=4),)


async def who_lapsed_may_come_back(world: DirectoryWorld) -> None:
    """A worker that was away for longer than its lease joins again like a new one."""
    await world.worker.join(record("decode-0"), SHORT_S)
    await world.clock.sleep(SHORT_S + 0.2)
    assert await world.gateway.members() == ()
    await world.worker.join(record("decode-0"), LONG_S)
    assert await world.gateway.members() == (record("decode-0"),)


async def a_new_incarnation_replaces(world: DirectoryWorld) -> None:
    """Of one worker there is one record: that of the life that joined last."""
    await world.worker.join(record("decode-0", "first"), LONG_S)
    await world.worker.join(record("decode-0", "second"), LONG_S)
    assert await world.gateway.members() == (record("decode-0", "second"),)


async def who_leaves_is_gone(world: DirectoryWorld) -> None:
    """leave removes at once, and only that worker."""
    await world.worker.join(record("decode-0"), LONG_S)
    await world.worker.join(record("decode-1"), LONG_S)
    await world.worker.leave(record("decode-0").address.identity)
    assert await world.gateway.members() == (record("decode-1"),)


async def only_the_named_incarnation_leaves(world: DirectoryWorld) -> None:
    """A late leave of an earlier life does not remove the present one."""
    await world.worker.join(record("decode-0", "second"), LONG_S)
    await world.worker.leave(record("decode-0", "first").address.identity)
    assert await world.gateway.members() == (record("decode-0", "second"),)


async def unknown_leaves_are_harmless(world: DirectoryWorld) -> None:
    """Leaving twice, or without having joined, changes nothing."""
    await world.worker.leave(record("decode-9").address.identity)
    await world.worker.join(record("decode-0"), LONG_S)
    for _ in range(2):
        await world.worker.leave(record("decode-0").address.identity)
    assert await world.gateway.members() == ()


async def many_at_once(world: DirectoryWorld) -> None:
    """Workers that join and leave at the same time do not disturb each other."""
    names = [f"w-{number:02d}" for number in range(20)]
    await asyncio.gather(*(world.worker.join(record(name), LONG_S) for name in names))
    await asyncio.gather(*(world.worker.leave(record(name).address.identity) for name in names[::2]))
    assert [member.worker for member in await world.gateway.members()] == names[1::2]


DIRECTORY_PROMISES: list[DirectoryPromise] = [
    a_fresh_directory_is_empty,
    who_joins_is_seen,
    members_come_in_order_of_id,
    a_lease_lapses,
    renewing_keeps,
    who_lapsed_may_come_back,
    a_new_incarnation_replaces,
    who_leaves_is_gone,
    only_the_named_incarnation_leaves,
    unknown_leaves_are_harmless,
    many_at_once,
]
