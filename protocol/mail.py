"""What passes between a worker's I/O process and its engine process.

A peer is one link, by number: positive numbers are links that were accepted, negative ones
links that the engine asked to have dialled.
"""

from __future__ import annotations

from typing import NewType

import msgspec

from protocol.codec import Codec
from protocol.ids import AttemptKey, WorkerIdentity
from protocol.messages import Frame, WorkerAddress
from protocol.wire_struct import Struct

PeerId = NewType("PeerId", int)


class Inbound(Struct, tag=True):
    """A frame from a peer. The first one of an accepted link is its Hello."""

    peer: PeerId
    frame: Frame


class PeerLost(Struct, tag=True):
    """The link is gone, or could not be dialled. Nothing more will come from this number."""

    peer: PeerId


class Stop(Struct, tag=True):
    """End after the current step."""


class Drain(Struct, tag=True):
    """Refuse new work from now on, go on with what is here, and say Drained when nothing is left."""


class Drained(Struct, tag=True):
    """Nothing runs or waits, and nobody has KV to fetch here."""


class Begun(Struct, tag=True):
    """The steps that run from now on, sent before they start and only when this changes."""

    suspects: tuple[AttemptKey, ...]
    """Every attempt in them; empty when nothing runs."""
    predicted_s: float
    """Their predicted seconds together; 0 when they are short."""


class Outbound(Struct, tag=True):
    """A frame for a peer. For a peer that is lost it is dropped."""

    peer: PeerId
    frame: Frame


class Sealed(Struct, tag="Outbound"):
    """An Outbound as the I/O process reads it: its frame goes on in the bytes in which it came."""

    peer: PeerId
    frame: msgspec.Raw


class Dial(Struct, tag=True):
    """Open a link to `address` under this (negative) number; PeerLost if that fails."""

    peer: PeerId
    address: WorkerAddress


class EngineFacts(Struct):
    """What the engine says of itself once the model is loaded."""

    identity: WorkerIdentity
    model: str
    dtype: str
    max_context: int
    vocabulary: int
    block_size: int
    block_bytes: int
    total_blocks: int
    fingerprint: str


class Ready(Struct, tag=True):
    """The engine serves."""

    facts: EngineFacts


class Fatal(Struct, tag=True):
    """The engine cannot serve, or no longer; its process ends after this."""

    code: str
    message: str


EngineInbox = Inbound | PeerLost | Drain | Stop
EngineOutbox = Outbound | Dial | Begun | Drained | Ready | Fatal
EngineNews = Outbound | Sealed | Dial | Begun | Drained | Ready | Fatal
"""The same, as it is read: with Outbound where both are in one process, else with Sealed."""


def inbox_codec(max_bytes: int) -> Codec[list[EngineInbox]]:
    """Batches toward the engine."""
    return Codec[list[EngineInbox]](list[EngineInbox], max_bytes)


def outbox_codec(max_bytes: int) -> Codec[list[EngineOutbox]]:
    """Batches from the engine, one per step."""
    return Codec[list[EngineOutbox]](list[EngineOutbox], max_bytes)


def news_codec(max_bytes: int) -> Codec[list[EngineNews]]:
    """The same batches, read by who only passes their frames on."""
    sealed = list[Sealed | Dial | Begun | Drained | Ready | Fatal]
    return Codec[list[EngineNews]](sealed, max_bytes)
