"""KV events as they travel."""

from __future__ import annotations

from protocol.codec import Codec
from protocol.ids import BlockHash, Incarnation, WorkerId, WorkerIdentity
from protocol.kv_events import (
    KEY_BYTES,
    Cleared,
    Evicted,
    KvDumpWanted,
    KvEvents,
    Stored,
    Tier,
    packed_keys,
)

HASHES = [BlockHash(bytes([number]) * 32) for number in range(256)]
WORKER = WorkerIdentity(WorkerId("w"), Incarnation("1"))


def test_events_survive_the_wire_and_are_small() -> None:
    """Every kind comes back equal, at 8 bytes a block."""
    codec = Codec[KvEvents | KvDumpWanted](KvEvents | KvDumpWanted, 1 << 20)
    stored = Stored(packed_keys(HASHES), Tier.HOST)
    frame = KvEvents(WORKER, 3, (Cleared(), stored, Evicted(packed_keys(HASHES[:2]))))
    assert codec.decode(codec.encode(frame)) == frame
    assert len(codec.encode(frame)) < KEY_BYTES * len(HASHES) + 100
    assert codec.decode(codec.encode(KvDumpWanted(WORKER))) == KvDumpWanted(WORKER)
