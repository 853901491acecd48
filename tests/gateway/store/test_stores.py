"""The stores: the suite for each, and what sets one apart from the others."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.store.memory_store import MemoryStore
from gateway.store.redis_connection import RedisConnection
from gateway.store.redis_store import RedisStore
from gateway.store.sqlite_store import SqliteStore
from gateway.store.store import Store, StoreBounds
from protocol.clock import LoopClock
from protocol.errors import InvalidSpec, Overloaded, WorkerLost
from protocol.executor import InlineExecutor, ThreadExecutor
from protocol.virtual_loop import run_virtual
from tests.gateway.store.store_conformance import BOUNDS, LONG_S, STORE_PROMISES, StorePromise, StoreWorld
from tests.redis_server import running_redis

SMALL = StoreBounds(max_bytes=256 << 10)
every_promise = pytest.mark.parametrize("promise", STORE_PROMISES, ids=lambda p: p.__name__)


@every_promise
def test_memory_store(promise: StorePromise) -> None:
    """The memory store keeps every promise of the seam, on the virtual loop."""

    async def main() -> None:
        clock = LoopClock(offset=-3.0)
        store = MemoryStore(clock, BOUNDS)
        await promise(StoreWorld(store, store, clock))

    run_virtual(main())


@every_promise
async def test_sqlite_store(promise: StorePromise, tmp_path: Path) -> None:
    """The SQLite store keeps every promise of the seam, between two connections and on threads."""
    executor = ThreadExecutor(LoopClock(), threads=3, queue=100)
    stores = [SqliteStore(tmp_path / "store.db", executor, BOUNDS) for _ in range(2)]
    await promise(StoreWorld(stores[0], stores[1], LoopClock()))
    for store in stores:
        await store.close()
    await executor.close()


@every_promise
async def test_redis_store(promise: StorePromise, redis_url: str) -> None:
    """The Redis store keeps every promise of the seam, between two connections."""
    prefix = f"{uuid.uuid4()}:"
    stores = [_redis_store(redis_url, prefix) for _ in range(2)]
    await promise(StoreWorld(stores[0], stores[1], LoopClock()))
    for store in stores:
        await store.close()


async def test_sqlite_outlives_its_gateway(tmp_path: Path) -> None:
    """What one process stored, the next one finds."""
    for expected in (None, b"kept"):
        async with _sqlite_store(tmp_path / "store.db") as store:
            assert await store.get("k") == expected
            await store.put("k", b"kept", LONG_S)


async def test_a_full_store_says_so_and_recovers(tmp_path: Path) -> None:
    """Beyond its bytes a store is Overloaded, what was there stays, and deleting makes room."""
    async with _sqlite_store(tmp_path / "store.db", SMALL) as store:
        await _fill(store)
    await _fill(MemoryStore(LoopClock(), SMALL))


async def test_lapsed_entries_make_room(tmp_path: Path) -> None:
    """A store full of lapsed entries takes new ones."""
    async with _sqlite_store(tmp_path / "store.db", SMALL) as sqlite:
        for store in (sqlite, MemoryStore(LoopClock(), SMALL)):
            for number in range(3):
                await store.put(f"old-{number}", bytes(50_000), 0.05)
            await LoopClock().sleep(0.1)
            for number in range(3):
                await store.put(f"new-{number}", bytes(50_000), LONG_S)


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """A file of something else, or a folder that is not there, is InvalidSpec and names the path."""
    (tmp_path / "photo.db").write_bytes(b"not a database" * 1000)
    executor = InlineExecutor(LoopClock())
    for path in (tmp_path / "photo.db", tmp_path / "missing" / "store.db"):
        with pytest.raises(InvalidSpec, match=path.name):
            SqliteStore(path, executor, BOUNDS)


async def test_a_full_redis_is_overloaded(tmp_path: Path) -> None:
    """A Redis at its maxmemory is Overloaded; what is there can still be read and deleted."""
    with running_redis(tmp_path) as url:
        store = _redis_store(url, "p:")
        await store.put("k", b"1", LONG_S)
        async with Redis.from_url(url) as redis:
            await redis.config_set("maxmemory", "1")
        with pytest.raises(Overloaded):
            await store.put("l", b"2", LONG_S)
        assert await store.get("k") == b"1"
        await store.delete("k")
        await store.close()


async def test_a_lost_redis_is_a_typed_error(tmp_path: Path) -> None:
    """When Redis goes away every call raises WorkerLost, and works again once it is back."""
    with running_redis(tmp_path) as url:
        store = _redis_store(url, "p:")
        await store.put("k", b"1", LONG_S)
    for call in (store.get("k"), store.put("k", b"1", LONG_S), store.delete("k")):
        with pytest.raises(WorkerLost):
            await call
    await store.close()


async def test_the_prefix_is_on_every_key(redis_url: str) -> None:
    """Everything that the store writes to Redis lies under its prefix and lapses."""
    prefix = f"{uuid.uuid4()}:"
    store = _redis_store(redis_url, prefix)
    await store.put("a", b"1", LONG_S)
    await store.put_if_absent("b", b"1", LONG_S)
    async with Redis.from_url(redis_url) as redis:
        for key in (f"{prefix}a", f"{prefix}b"):
            assert 0 < await redis.pttl(key) <= LONG_S * 1000
    await store.close()


async def _fill(store: Store) -> None:
    await store.put("first", b"1", LONG_S)
    with pytest.raises(Overloaded):
        for number in range(100):
            await store.put(f"big-{number}", bytes(10_000), LONG_S)
    assert await store.get("first") == b"1"
    for number in range(10):
        await store.delete(f"big-{number}")
    await store.put("again", bytes(10_000), LONG_S)


def _redis_store(url: str, prefix: str) -> RedisStore:
    return RedisStore(RedisConnection(url, LoopClock(), BOUNDS.deadline_s), prefix, BOUNDS)


@asynccontextmanager
async def _sqlite_store(path: Path, bounds: StoreBounds = BOUNDS) -> AsyncIterator[SqliteStore]:
    executor = ThreadExecutor(LoopClock(), threads=1, queue=10)
    store = SqliteStore(path, executor, bounds)
    yield store
    await store.close()
    await executor.close()
