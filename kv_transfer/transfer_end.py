"""What became of one transfer, as its reader tells."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import BatonError
from protocol.ids import TransferId, WorkerIdentity


@dataclass(frozen=True, slots=True)
class Pull:
    """How long verified KV took to come."""

    source: WorkerIdentity
    blocks: int
    seconds: float
    """From the first post to the verification."""


@dataclass(frozen=True, slots=True)
class TransferEnd:
    """Verified KV in the destination blocks, or an error."""

    transfer: TransferId
    error: BatonError | None
    pull: Pull | None = None
    """None without a read that was verified, and for the first from a source: that one waits for the
    transport's connection as well."""
    end_block: int = 0
    """The blocks before this one are here, counted from the start of the prompt; 0 with an error."""
