"""A request whose KV is on its way: it joins the batch when the KV and the first token are here."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import TransferId
from protocol.stamp import Phase, Stamp
from worker.attempts import Attempt


@dataclass(slots=True)
class Reservation:
    """Blocks held for one attempt; touched by the engine's thread only."""

    attempt: Attempt
    transfer: TransferId
    blocks: int
    """Blocks held under Owner.dest(transfer)."""
    joined_at: float | None = None
    """When the first token came."""
    verified_at: float | None = None
    """When all KV was here and verified."""

    @property
    def growth(self) -> int:
        """Blocks that the request will need beyond those it holds."""
        return self.attempt.sequence.full_need - self.blocks

    def stamps(self, now: float) -> tuple[Stamp, ...]:
        """What the transfer and the wait for a step added after the first token."""
        joined = self.joined_at if self.joined_at is not None else now
        ready = max(joined, self.verified_at if self.verified_at is not None else now)
        return (Stamp(Phase.TRANSFER, ready - joined), Stamp(Phase.DECODE_QUEUE, now - ready))
