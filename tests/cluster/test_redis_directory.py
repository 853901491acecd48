"""The directory in Redis, against a real server."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cluster.redis_directory import RedisDirectory
from gateway.store.redis_connection import RedisConnection
from protocol.clock import LoopClock
from protocol.errors import WorkerLost
from tests.protocol.directory_conformance import (
    DIRECTORY_PROMISES,
    LONG_S,
    DirectoryPromise,
    DirectoryWorld,
    record,
)
from tests.redis_server import running_redis

DEADLINE_S = 5.0


def _open(url: str, prefix: str, deadline_s: float = DEADLINE_S) -> RedisDirectory:
    return RedisDirectory(RedisConnection(url, LoopClock(), deadline_s), prefix)


@pytest.mark.parametrize("promise", DIRECTORY_PROMISES, ids=lambda p: p.__name__)
async def test_redis_directory(promise: DirectoryPromise, redis_url: str) -> None:
    """The Redis directory keeps every promise of the seam, between two connections."""
    prefix = f"{uuid.uuid4()}:"
    worker, gateway = _open(redis_url, prefix), _open(redis_url, prefix)
    try:
        await promise(DirectoryWorld(worker, gateway, LoopClock()))
    finally:
        await worker.close()
        await gateway.close()


async def test_prefixes_keep_clusters_apart(redis_url: str) -> None:
    """Two clusters in one Redis do not see each other."""
    here, there = _open(redis_url, f"{uuid.uuid4()}:"), _open(redis_url, f"{uuid.uuid4()}:")
    await here.join(record("decode-0"), LONG_S)
    assert await there.members() == ()
    await here.close()
    await there.close()


async def test_another_versions_record_is_passed_over(redis_url: str) -> None:
    """A line that cannot be read hides that worker alone."""
    prefix = f"{uuid.uuid4()}:"
    directory = _open(redis_url, prefix)
    await directory.join(record("decode-0"), LONG_S)
    await directory.join(record("decode-1"), LONG_S)
    async with Redis.from_url(redis_url) as redis:
        await redis.set(f"{prefix}worker:decode-0", b"\x91\x01")
    assert await directory.members() == (record("decode-1"),)
    await directory.leave(record("decode-0").address.identity)
    assert await directory.members() == (record("decode-1"),)
    await directory.close()


async def test_nothing_of_the_departed_stays(redis_url: str) -> None:
    """Workers that lapsed leave no key behind once somebody joins, and keys have a life time."""
    prefix = f"{uuid.uuid4()}:"
    directory = _open(redis_url, prefix)
    for number in range(5):
        await directory.join(record(f"decode-{number}"), 0.05)
    await LoopClock().sleep(0.1)
    await directory.join(record("decode-9"), LONG_S)
    async with Redis.from_url(redis_url) as redis:
        assert await redis.zcard(f"{prefix}workers") == 1
        assert len(await redis.keys(f"{prefix}*")) == 2
        assert 0 < await redis.pttl(f"{prefix}worker:decode-9") <= LONG_S * 1000
    await directory.close()


async def test_a_lost_server_is_a_typed_error_in_time(tmp_path: Path) -> None:
    """When Redis goes away every call raises WorkerLost within the deadline; the URL stays secret."""
    with running_redis(tmp_path) as url:
        directory = _open(url.replace("redis://", "redis://nobody:secret@"), "p:", deadline_s=1.0)
        with pytest.raises(WorkerLost) as refused:
            await directory.members()
        assert "secret" not in str(refused.value)
        await directory.close()
        directory = _open(url, "p:", deadline_s=1.0)
        await directory.join(record("decode-0"), LONG_S)
    start = time.monotonic()
    for call in (
        directory.join(record("decode-0"), LONG_S),
        directory.leave(record("decode-0").address.identity),
        directory.members(),
    ):
        with pytest.raises(WorkerLost):
            await call
    assert time.monotonic() - start < 5.0
    await directory.close()
