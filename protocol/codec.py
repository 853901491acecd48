"""Frames to msgpack bytes and back: versioned by Hello, closed, size-limited. No pickle."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from protocol.errors import WireError
from protocol.messages import Frame

T = TypeVar("T")


class Codec(Generic[T]):
    """Encodes and decodes one closed union of structs."""

    def __init__(self, kind: object, max_bytes: int) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)
        self._max_bytes = max_bytes

    def encode(self, value: T | msgspec.Raw) -> bytes:
        """Bytes of one value, which may be encoded already. Raises WireError if they exceed the limit."""
        data = self._encoder.encode(value)
        if len(data) > self._max_bytes:
            raise self._too_long(data)
        return data

    def decode(self, data: bytes) -> T:
        """The value in `data`. Raises WireError if it is too long or not of the union."""
        if len(data) > self._max_bytes:
            raise self._too_long(data)
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
            raise WireError(f"not a frame of this version: {wrong}") from wrong

    def _too_long(self, data: bytes) -> WireError:
        return WireError(f"a frame of {len(data)} bytes exceeds the limit of {self._max_bytes}")


def frame_codec(max_bytes: int) -> Codec[Frame]:
    """The codec of everything that travels on a link."""
    return Codec[Frame](Frame, max_bytes)
