"""The directory in Redis: for clusters that already have one, or outlive Ray's head."""

from __future__ import annotations

from redis.exceptions import WatchError

from cluster.record_codec import RECORDS, readable_records
from gateway.store.redis_connection import RedisConnection
from protocol.ids import WorkerIdentity
from protocol.messages import WorkerRecord


class RedisDirectory:
    """A key per worker that lapses with its lease, and a sorted set that names the keys.

    The set's scores are lapse times on Redis's own clock, so no two machines' clocks meet.
    """

    def __init__(self, connection: RedisConnection, prefix: str) -> None:
        """Takes over the connection: closing the directory closes it."""
        self._connection = connection
        self._prefix = prefix
        self._index = f"{prefix}workers"

    async def join(self, record: WorkerRecord, lease_s: float) -> None:
        """Enters or renews a worker for `lease_s` seconds."""
        data, lease_ms = RECORDS.encode(record), max(1, round(lease_s * 1000))
        async with self._connection.session() as redis:
            seconds, micros = await redis.time()
            now_ms = seconds * 1000 + micros // 1000
            async with redis.pipeline(transaction=True) as together:
                together.set(self._key(record.worker), data, px=lease_ms)
                together.zadd(self._index, {record.worker: now_ms + lease_ms})
                together.zremrangebyscore(self._index, "-inf", now_ms)
                await together.execute()

    async def leave(self, identity: WorkerIdentity) -> None:
        """Removes this incarnation only."""
        key = self._key(identity.worker)
        async with self._connection.session() as redis, redis.pipeline(transaction=True) as together:
            await together.watch(key)
            data = await together.get(key)
            held = readable_records([data] if isinstance(data, bytes) else [])
            if [record.address.identity for record in held] != [identity]:
                return
            together.multi()
            together.delete(key)
            together.zrem(self._index, identity.worker)
            try:
                await together.execute()
            except WatchError:
                pass  # somebody joined in the meantime: a newer life, which stays

    async def members(self) -> tuple[WorkerRecord, ...]:
        """The living, in order of worker id. Records of another version are passed over."""
        async with self._connection.session() as redis:
            names = [name for name in await redis.zrange(self._index, 0, -1) if isinstance(name, bytes)]
            keys = [self._key(name.decode()) for name in sorted(names)]
            found = await redis.mget(keys) if keys else []
        return readable_records([data for data in found if isinstance(data, bytes)])

    async def close(self) -> None:
        """Closes the connection."""
        await self._connection.close()

    def _key(self, worker: str) -> str:
        return f"{self._prefix}worker:{worker}"
