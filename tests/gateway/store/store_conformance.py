"""What every store must do, in coroutines that get one empty store and the time that it runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from gateway.store.store import Store, StoreBounds
from protocol.clock import Clock
from protocol.errors import InvalidRequest

BOUNDS = StoreBounds(max_key_chars=64, max_value_bytes=100_000, max_bytes=4 << 20, max_ttl_s=3600.0)
LONG_S = 60.0
SHORT_S = 0.3


@dataclass(frozen=True, slots=True)
class StoreWorld:
    """Two clients of one store (or the same one twice), and its time."""

    store: Store
    other: Store
    clock: Clock


StorePromise = Callable[[StoreWorld], Awaitable[None]]


async def what_is_put_is_got(world: StoreWorld) -> None:
    """Any bytes under any text come back unchanged, for another client too."""
    values = {"a": b"1", "b/ä\n:*": bytes(range(256)), "c": b"", "d": b"\xff" * BOUNDS.max_value_bytes}
    for key, value in values.items():
        await world.store.put(key, value, LONG_S)
    for key, value in values.items():
        assert await world.other.get(key) == value


async def an_unknown_key_is_none(world: StoreWorld) -> None:
    """Nothing there is None, not an error."""
    assert await world.store.get("nothing") is None


async def a_later_put_replaces(world: StoreWorld) -> None:
    """put over an entry replaces the value and the time it has left."""
    await world.store.put("k", b"old", SHORT_S)
    await world.store.put("k", b"new", LONG_S)
    await world.clock.sleep(SHORT_S + 0.1)
    assert await world.other.get("k") == b"new"


async def entries_lapse(world: StoreWorld) -> None:
    """After its time an entry is gone, and not before."""
    await world.store.put("brief", b"1", SHORT_S)
    await world.store.put("long", b"2", LONG_S)
    assert await world.store.get("brief") == b"1"
    await world.clock.sleep(SHORT_S + 0.1)
    assert await world.store.get("brief") is None
    assert await world.store.get("long") == b"2"


async def deleting_removes(world: StoreWorld) -> None:
    """delete removes that key alone; unknown and twice are harmless."""
    await world.store.put("k", b"1", LONG_S)
    await world.store.put("l", b"2", LONG_S)
    for _ in range(2):
        await world.other.delete("k")
    assert await world.store.get("k") is None
    assert await world.store.get("l") == b"2"


async def put_if_absent_keeps_what_is_there(world: StoreWorld) -> None:
    """The first stores and says True, the second changes nothing and says False."""
    assert await world.store.put_if_absent("k", b"first", LONG_S)
    assert not await world.other.put_if_absent("k", b"second", LONG_S)
    assert await world.store.get("k") == b"first"


async def put_if_absent_sees_every_kind_of_absence(world: StoreWorld) -> None:
    """A deleted or a lapsed entry counts as absent, an empty value does not."""
    await world.store.put("gone", b"1", LONG_S)
    await world.store.delete("gone")
    await world.store.put("lapsed", b"1", SHORT_S)
    await world.store.put("empty", b"", LONG_S)
    await world.clock.sleep(SHORT_S + 0.1)
    assert await world.store.put_if_absent("gone", b"2", LONG_S)
    assert await world.store.put_if_absent("lapsed", b"2", LONG_S)
    assert not await world.store.put_if_absent("empty", b"2", LONG_S)
    assert await world.store.get("lapsed") == b"2"


async def put_if_absent_does_not_extend(world: StoreWorld) -> None:
    """A refused put_if_absent leaves the time that the entry has."""
    await world.store.put("k", b"1", SHORT_S)
    assert not await world.store.put_if_absent("k", b"2", LONG_S)
    await world.clock.sleep(SHORT_S + 0.1)
    assert await world.store.get("k") is None


async def of_many_at_once_one_wins(world: StoreWorld) -> None:
    """Of callers at the same time, through both clients, exactly one gets True: its value stays."""
    stores = [world.store, world.other] * 5
    calls = (store.put_if_absent("k", str(n).encode(), LONG_S) for n, store in enumerate(stores))
    won = await asyncio.gather(*calls)
    assert won.count(True) == 1
    assert await world.store.get("k") == str(won.index(True)).encode()


async def beyond_the_bounds_is_refused(world: StoreWorld) -> None:
    """Too long a key, value or time, or none at all, is InvalidRequest, and nothing is stored."""
    too_long = "k" * (BOUNDS.max_key_chars + 1)
    for key, value, ttl_s in (
        (too_long, b"1", LONG_S),
        ("", b"1", LONG_S),
        ("k", b"1" * (BOUNDS.max_value_bytes + 1), LONG_S),
        ("k", b"1", 0.0),
        ("k", b"1", -1.0),
        ("k", b"1", float("nan")),
        ("k", b"1", BOUNDS.max_ttl_s + 1),
    ):
        with pytest.raises(InvalidRequest):
            await world.store.put(key, value, ttl_s)
        with pytest.raises(InvalidRequest):
            await world.store.put_if_absent(key, value, ttl_s)
        assert await world.store.get(key) is None


async def closing_twice_is_harmless(world: StoreWorld) -> None:
    """close may be called again."""
    await world.store.put("k", b"1", LONG_S)
    await world.store.close()
    await world.store.close()


STORE_PROMISES: list[StorePromise] = [
    what_is_put_is_got,
    an_unknown_key_is_none,
    a_later_put_replaces,
    entries_lapse,
    deleting_removes,
    put_if_absent_keeps_what_is_there,
    put_if_absent_sees_every_kind_of_absence,
    put_if_absent_does_not_extend,
    of_many_at_once_one_wins,
    beyond_the_bounds_is_refused,
    closing_twice_is_harmless,
]
