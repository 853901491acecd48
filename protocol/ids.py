"""Identities. Each is its own type, so that none can be passed where another is meant."""

from __future__ import annotations

from typing import NewType

from protocol.wire_struct import Struct

RequestId = NewType("RequestId", str)
"""One generated sequence: a client call with n=3 is three requests."""

WorkerId = NewType("WorkerId", str)
"""A place in a pool. It survives a restart; its incarnation does not."""

Incarnation = NewType("Incarnation", str)
"""One life of a worker's engine process, new at every start."""

TransferId = NewType("TransferId", str)
"""128 random bits in hex, new for every attempt: also the capability to read the KV."""

GatewayId = NewType("GatewayId", str)
"""One gateway process."""

BlockId = NewType("BlockId", int)
"""The number of a KV block inside one worker's arena."""

BlockHash = NewType("BlockHash", bytes)
"""SHA-256 of a full block and of everything before it, salted by tenant."""


class WorkerIdentity(Struct):
    """Who holds KV: references to an older incarnation are void."""

    worker: WorkerId
    incarnation: Incarnation


class AttemptKey(Struct):
    """One try at one request. Frames of an older attempt are dropped."""

    request: RequestId
    attempt: int
