"""Posts reads of published blocks, as many bytes as may be in flight beside a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kv_transfer.slot import InFlight, Slot
from kv_transfer.transport import BlockPair, Transport
from protocol.limits import Limits
from protocol.messages import SourceFacts

STALL_S = 1.0
"""A read in flight for longer copies nothing just now: its source hangs, and no other has to wait for it."""


class ReadPoster:
    """Small posts in order of arrival: on one host a post copies its bytes."""

    def __init__(
        self, transport: Transport, block_bytes: int, limits: Limits, budget: Callable[[], int]
    ) -> None:
        """`budget`: bytes that may be in flight now, so that reads do not stall steps."""
        self._transport = transport
        self._block_bytes = block_bytes
        self._budget = budget
        self._blocks_per_post = max(1, limits.post_bytes // block_bytes)

    def post(self, slots: Iterable[Slot], now: float) -> None:
        """Posts what slots want until the budget is used. A slot whose reads stall gets no more of
        them, and they do not count."""
        moving = [slot for slot in slots if slot.oldest_read_s(now) <= STALL_S]
        if not any(slot.wanted for slot in moving):
            return
        left = self._budget() - sum(read.copied for slot in moving for read in slot.reads.values())
        for slot in moving:
            source = slot.source
            while slot.wanted and source is not None and left > 0:
                left -= self._post_one(slot, source, left, now)

    def _post_one(self, slot: Slot, source: SourceFacts, left: int, now: float) -> int:
        """One read of one slot; returns the bytes that it copies."""
        count = min(self._blocks_per_post, len(slot.wanted), max(1, left // self._block_bytes))
        batch = [slot.wanted.popleft() for _ in range(count)]
        pairs = [BlockPair(wanted.remote, wanted.local) for wanted in batch]
        copied = count * self._block_bytes
        slot.reads[self._transport.read_blocks(source, pairs)] = InFlight(copied, now)
        slot.read.extend(batch)
        return copied
