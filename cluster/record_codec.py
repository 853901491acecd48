"""Lines of the directory as bytes, the way every shared directory keeps them."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.codec import Codec
from protocol.errors import WireError
from protocol.messages import WorkerRecord

MAX_RECORD_BYTES = 64 << 10

RECORDS = Codec[WorkerRecord](WorkerRecord, MAX_RECORD_BYTES)


def readable_records(lines: Iterable[bytes]) -> tuple[WorkerRecord, ...]:
    """The records, without those that another version of Baton wrote."""
    records = []
    for line in lines:
        try:
            records.append(RECORDS.decode(line))
        except WireError:
            continue
    return tuple(records)
