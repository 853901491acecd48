"""How batches of mail travel over the socket between the I/O process and the engine process.

Each is a 4-byte big-endian length and then msgpack. A length is checked before memory is taken.
"""

from __future__ import annotations

from protocol.errors import WireError
from protocol.limits import Limits

HEADER_BYTES = 4


def batch_limit(limits: Limits) -> int:
    """Bytes of one batch: a frame of the largest size, wrapped, must fit."""
    return 2 * limits.max_frame_bytes


def backlog_limit(limits: Limits) -> int:
    """Bytes that may wait for the other process, either way."""
    return 4 * limits.max_frame_bytes


def framed(payload: bytes) -> bytes:
    """One batch as it travels."""
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


class BatchSplitter:
    """Cuts the bytes of the socket into batches."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The batches that `data` completes. Raises WireError if one would be too long."""
        self._buffer += data
        batches: list[bytes] = []
        start = 0
        while (end := self._end_of_batch(start)) is not None:
            batches.append(bytes(self._buffer[start + HEADER_BYTES : end]))
            start = end
        del self._buffer[:start]
        return batches

    def _end_of_batch(self, start: int) -> int | None:
        body = start + HEADER_BYTES
        if len(self._buffer) < body:
            return None
        size = int.from_bytes(self._buffer[start:body], "big")
        if size > self._max_bytes:
            raise WireError(f"a batch of {size} bytes exceeds the limit of {self._max_bytes}")
        return body + size if len(self._buffer) >= body + size else None
