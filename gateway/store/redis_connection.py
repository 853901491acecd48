"""One Redis client with a deadline on every call, and our errors instead of Redis's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from protocol.clock import Clock
from protocol.errors import DeadlineExceeded, Overloaded, WorkerLost


class RedisConnection:
    """Owns the client. No error names the URL, which may hold a password."""

    def __init__(self, url: str, clock: Clock, deadline_s: float) -> None:
        self._client = Redis.from_url(url, socket_connect_timeout=deadline_s, socket_timeout=deadline_s)
        self._clock = clock
        self._deadline_s = deadline_s

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Redis]:
        """The client, for a few commands within one deadline. Raises WorkerLost if Redis is
        away or slow, Overloaded if it is full."""
        try:
            async with self._clock.deadline(self._deadline_s):
                yield self._client
        except DeadlineExceeded as late:
            raise WorkerLost("Redis does not answer in time") from late
        except OutOfMemoryError as full:
            raise Overloaded("Redis is full", retry_after_s=1.0) from full
        except (RedisError, OSError) as away:
            raise WorkerLost(f"Redis does not answer: {type(away).__name__}") from away

    async def close(self) -> None:
        """Closes the sockets. Doing it twice is harmless."""
        await self._client.aclose()
