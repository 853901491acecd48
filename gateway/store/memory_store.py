"""A store inside one process, without threads: for simulation, tests, and one gateway."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.store.store import StoreBounds
from protocol.clock import Clock
from protocol.errors import Overloaded


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and when it lapses, on the store's clock."""

    value: bytes
    lapses_at: float


class MemoryStore:
    """A dict with lapse times. Nothing outlives the process."""

    def __init__(self, clock: Clock, bounds: StoreBounds) -> None:
        self._clock = clock
        self._bounds = bounds
        self._entries: dict[str, Entry] = {}
        self._bytes = 0

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        entry = self._living(key)
        return None if entry is None else entry.value

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Stores, over whatever was there."""
        self._bounds.check(key, value, ttl_s)
        self._make_room(key, value)
        self._remove(key)
        self._entries[key] = Entry(value, self._clock.now() + ttl_s)
        self._bytes += _size(key, value)

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores only if nothing is there."""
        self._bounds.check(key, value, ttl_s)
        if self._living(key) is not None:
            return False
        await self.put(key, value, ttl_s)
        return True

    async def delete(self, key: str) -> None:
        """Removes the entry."""
        self._remove(key)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _living(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        return entry if entry is not None and entry.lapses_at > self._clock.now() else None

    def _make_room(self, key: str, value: bytes) -> None:
        old = self._entries.get(key)
        needed = _size(key, value) - (0 if old is None else _size(key, old.value))
        if self._bytes + needed <= self._bounds.max_bytes:
            return
        now = self._clock.now()
        for other in [k for k, e in self._entries.items() if e.lapses_at <= now and k != key]:
            self._remove(other)
        if self._bytes + needed > self._bounds.max_bytes:
            raise Overloaded("the store is full", retry_after_s=1.0)

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= _size(key, entry.value)


def _size(key: str, value: bytes) -> int:
    return len(key.encode()) + len(value)
