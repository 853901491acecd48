"""A spec as JSON, between our own processes; what people write is read by spec_reader.py."""

from __future__ import annotations

import msgspec

from cluster.byte_size import ByteSize
from cluster.spec import Spec


def spec_json(value: object) -> bytes:
    """A spec, or parts of one."""
    return msgspec.json.encode(value, enc_hook=_to_json)


def spec_from_json(data: bytes) -> Spec:
    """Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Spec, dec_hook=_from_json)


def _to_json(value: object) -> object:
    if isinstance(value, ByteSize):
        return int(value)
    raise NotImplementedError(type(value))


def _from_json(kind: type, value: object) -> object:
    if kind is ByteSize:
        return ByteSize.parse(value)
    raise NotImplementedError(kind)
