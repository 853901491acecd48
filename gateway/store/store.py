"""The seam of what must outlive a gateway: small values under a key, each for a limited time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocol.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class StoreBounds:
    """How much a store takes and how long it may think."""

    max_key_chars: int = 512
    max_value_bytes: int = 8 << 20
    max_bytes: int = 256 << 20
    """Of all entries together; Redis has its own bound, maxmemory."""
    max_ttl_s: float = 30 * 86400.0
    deadline_s: float = 5.0
    """Of one call."""

    def check(self, key: str, value: bytes, ttl_s: float) -> None:
        """Raises InvalidRequest if the entry is beyond a bound."""
        if not 0 < len(key) <= self.max_key_chars:
            raise InvalidRequest(f"a key of {len(key)} characters: 1 to {self.max_key_chars} can be stored")
        if len(value) > self.max_value_bytes:
            raise InvalidRequest(f"{len(value)} bytes: {self.max_value_bytes} can be stored at most")
        if not 0.001 <= ttl_s <= self.max_ttl_s:
            raise InvalidRequest(f"stored for {ttl_s} s: 0.001 to {self.max_ttl_s} is possible")


class Store(Protocol):
    """Entries that lapse. Every call may raise WorkerLost if the store does not answer in time."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None if there is none or it has lapsed."""
        ...

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Stores `value` for `ttl_s` seconds from now, over whatever was there. Raises
        InvalidRequest beyond StoreBounds, Overloaded if the store is full."""
        ...

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Like put, but only if nothing is there; of several callers at once exactly one gets
        True. Raises as put does."""
        ...

    async def delete(self, key: str) -> None:
        """Removes the entry. Unknown is harmless."""
        ...

    async def close(self) -> None:
        """Lets go of files and connections. Doing it twice is harmless."""
        ...
