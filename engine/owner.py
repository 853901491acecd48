"""Who holds a block. Blocks go back by owner, never by number."""

from __future__ import annotations

from enum import StrEnum

from protocol.ids import AttemptKey, TransferId
from protocol.wire_struct import Struct


class OwnerKind(StrEnum):
    """Every block belongs to exactly one of these."""

    FREE = "free"
    REQUEST = "request"
    """A sequence that is computed here."""
    CACHE = "cache"
    """Hashed and without a holder: findable, evictable."""
    PINNED = "pinned"
    """Published to a reader under a lease."""
    DEST = "dest"
    """Private target of a transfer, not verified yet."""
    QUARANTINE = "quarantine"
    """A transfer that cannot be cancelled may still write here."""
    FENCED = "fenced"
    """A step in flight may still write here."""


class Owner(Struct):
    """One holder of blocks. `name` is unique within the kind."""

    kind: OwnerKind
    name: str

    @classmethod
    def request(cls, key: AttemptKey) -> Owner:
        """The sequence of one attempt."""
        return cls(OwnerKind.REQUEST, f"{key.request}/{key.attempt}")

    @classmethod
    def pinned(cls, transfer: TransferId) -> Owner:
        """The lease of one transfer, on the source."""
        return cls(OwnerKind.PINNED, transfer)

    @classmethod
    def dest(cls, transfer: TransferId) -> Owner:
        """The slot of one transfer, on the reader."""
        return cls(OwnerKind.DEST, transfer)

    @classmethod
    def quarantine(cls, transfer: TransferId) -> Owner:
        """The slot of a transfer that failed while a read was in flight."""
        return cls(OwnerKind.QUARANTINE, transfer)

    @classmethod
    def fenced(cls, step: int) -> Owner:
        """What one step in flight still writes for sequences that are gone."""
        return cls(OwnerKind.FENCED, str(step))
