"""How many blocks somebody of each kind holds, kept up to date so that a look costs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.owner import OwnerKind
from protocol.ids import BlockId

STRONGEST_FIRST = (
    OwnerKind.QUARANTINE,
    OwnerKind.FENCED,
    OwnerKind.DEST,
    OwnerKind.PINNED,
    OwnerKind.REQUEST,
)
"""A block that several owners hold is counted under the first of these."""

BIT = {kind: 1 << place for place, kind in enumerate(STRONGEST_FIRST)}
STRONGEST = tuple((bits & -bits).bit_length() - 1 for bits in range(1 << len(STRONGEST_FIRST)))
"""Place of the strongest kind in a set of BITs."""


@dataclass(slots=True)
class HoldCounts:
    """Blocks by the set of kinds that hold them. Two are equal if they were told of the same holds."""

    _owners: dict[OwnerKind, dict[BlockId, int]] = field(
        default_factory=lambda: {kind: {} for kind in STRONGEST_FIRST}
    )
    """Owners of a kind that hold a block; absent at 0."""
    _kinds: dict[BlockId, int] = field(default_factory=dict)
    """BITs of the kinds that hold a block; absent at 0."""
    _blocks: list[int] = field(default_factory=lambda: [0] * len(STRONGEST))
    """Held blocks by their BITs."""

    def add(self, kind: OwnerKind, blocks: Iterable[BlockId]) -> None:
        """One more owner of this kind holds these blocks."""
        owners, bit = self._owners[kind], BIT[kind]
        for block in blocks:
            before = owners.get(block, 0)
            owners[block] = before + 1
            if not before:
                self._change(block, bit)

    def remove(self, kind: OwnerKind, blocks: Iterable[BlockId]) -> None:
        """One owner less."""
        owners, bit = self._owners[kind], BIT[kind]
        for block in blocks:
            left = owners.pop(block) - 1
            if left:
                owners[block] = left
            else:
                self._change(block, bit)

    def held(self, kinds: Iterable[OwnerKind]) -> int:
        """Blocks that somebody of any of these kinds holds; each counts once."""
        mask = sum({BIT.get(kind, 0) for kind in kinds})
        return sum(count for bits, count in enumerate(self._blocks) if bits & mask)

    def strongest(self) -> dict[OwnerKind, int]:
        """Held blocks, each under the strongest kind that holds it."""
        result = [0] * len(STRONGEST_FIRST)
        for bits, count in enumerate(self._blocks):
            if count:
                result[STRONGEST[bits]] += count
        return dict(zip(STRONGEST_FIRST, result, strict=True))

    def _change(self, block: BlockId, bit: int) -> None:
        """A kind begins to hold the block, or ends."""
        before = self._kinds.pop(block, 0)
        after = before ^ bit
        if before:
            self._blocks[before] -= 1
        if after:
            self._blocks[after] += 1
            self._kinds[block] = after
