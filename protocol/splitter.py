"""Pieces of bytes on a stream: each is a 4-byte big-endian length, and then so many bytes."""

from __future__ import annotations

from protocol.errors import WireError

HEADER_BYTES = 4


def framed(payload: bytes) -> bytes:
    """One piece as it travels."""
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


class Splitter:
    """Cuts a stream into its pieces. A length is checked before memory is taken."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that `data` completes. Raises WireError if one would be too long."""
        stream: bytes | bytearray = data
        if self._rest:
            self._rest += data
            stream = self._rest
        pieces: list[bytes] = []
        start = 0
        while (end := self._end_of_piece(stream, start)) is not None:
            pieces.append(bytes(stream[start + HEADER_BYTES : end]))
            start = end
        if stream is self._rest:
            del self._rest[:start]
        else:
            self._rest += stream[start:]
        return pieces

    def _end_of_piece(self, data: bytes | bytearray, start: int) -> int | None:
        body = start + HEADER_BYTES
        if len(data) < body:
            return None
        size = int.from_bytes(data[start:body], "big")
        if size > self._max_bytes:
            raise WireError(f"a piece of {size} bytes exceeds the limit of {self._max_bytes}")
        return body + size if len(data) >= body + size else None
