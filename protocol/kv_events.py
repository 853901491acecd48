"""What a worker says of its KV blocks: data only, told in order, enough to rebuild a prefix index.

The events on one link are numbered from 0 without a gap. A dump is no frame of its own: the worker says
Cleared, then Stored for what it holds, in as many frames as it likes and between its other events; each
event is true at its own number.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from protocol.ids import BlockHash, WorkerIdentity
from protocol.wire_struct import Struct

KEY_BYTES = 8
"""A block's key is the start of its hash: an index only advises, so a rare collision costs time."""


class Tier(IntEnum):
    """Where a worker holds a block; of several places the fastest."""

    DEVICE = 0
    HOST = 1


def packed_keys(hashes: Iterable[BlockHash]) -> bytes:
    """KEY_BYTES of each hash, one after another."""
    return b"".join([one[:KEY_BYTES] for one in hashes])


class Stored(Struct, tag=True):
    """The worker holds these blocks in this tier; if they were in another, they have moved."""

    keys: bytes
    """As `packed_keys` makes them."""
    tier: Tier = Tier.DEVICE


class Evicted(Struct, tag=True):
    """The worker holds these blocks in no tier any more."""

    keys: bytes


class Cleared(Struct, tag=True):
    """The worker holds nothing but what it says after this: so begins every stream, and every dump."""


KvEvent = Stored | Evicted | Cleared


class KvEvents(Struct, tag=True):
    """Worker to gateway: what changed, in order."""

    identity: WorkerIdentity
    sequence: int
    """One more than the frame before it to this gateway."""
    events: tuple[KvEvent, ...]


class KvDumpWanted(Struct, tag=True):
    """Gateway to worker: events were missed, so begin again with Cleared."""

    identity: WorkerIdentity
