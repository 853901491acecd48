"""Random bytes of the system, fetched many at a time: each fetch is a system call."""

from __future__ import annotations

import secrets

FETCHED = 4096
"""Bytes at a time."""


class RandomBytes:
    """Each byte is given out once. For secrets too; for one thread of a process that does not fork."""

    def __init__(self) -> None:
        self._bytes = b""
        self._given = 0

    def take(self, count: int) -> bytes:
        """The next ones; at most FETCHED."""
        end = self._given + count
        if end > len(self._bytes):
            self._bytes, end = secrets.token_bytes(FETCHED), count
        self._given = end
        return self._bytes[end - count : end]

    def id(self) -> str:
        """128 bits in hex."""
        return self.take(16).hex()

    def seed(self) -> int:
        """64 bits."""
        return int.from_bytes(self.take(8), "little")
