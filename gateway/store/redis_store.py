"""A store that all gateways share."""

from __future__ import annotations

from gateway.store.redis_connection import RedisConnection
from gateway.store.store import StoreBounds


class RedisStore:
    """Plain keys under a prefix, with Redis's own lapse times. No scripts."""

    def __init__(self, connection: RedisConnection, prefix: str, bounds: StoreBounds) -> None:
        """Takes over the connection: closing the store closes it."""
        self._connection = connection
        self._prefix = prefix
        self._bounds = bounds

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        async with self._connection.session() as redis:
            value = await redis.get(self._prefix + key)
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Stores, over whatever was there."""
        self._bounds.check(key, value, ttl_s)
        async with self._connection.session() as redis:
            await redis.set(self._prefix + key, value, px=_milliseconds(ttl_s))

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores only if nothing is there."""
        self._bounds.check(key, value, ttl_s)
        async with self._connection.session() as redis:
            stored = await redis.set(self._prefix + key, value, px=_milliseconds(ttl_s), nx=True)
        return stored is not None

    async def delete(self, key: str) -> None:
        """Removes the entry."""
        async with self._connection.session() as redis:
            await redis.delete(self._prefix + key)

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.close()


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
