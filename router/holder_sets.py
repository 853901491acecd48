"""Sets of workers that hold a block: each distinct set is kept once and named by a small number."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from protocol.kv_events import Tier
from router.block_table import Values
from router.reserved import reserved

NOBODY = 0
"""The empty set."""
WORD = 64

ONES_OF_BYTE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)

Rows = npt.NDArray[np.uint64]
"""Sets as bits: [sets, tiers, words], worker slot s at bit s % 64 of word s // 64."""


class HolderSets:
    """The blocks of a prefix are mostly held by the same workers, so there are far fewer sets than blocks
    (for caches that lose the end of a prefix first, at most one a worker and prefix). A set is counted by
    the blocks that name it and ends with the last. A worker is in a set once, in one tier.
    """

    def __init__(self, max_workers: int, max_sets: int) -> None:
        words = -(-max_workers // WORD)
        self._rows = reserved((max_sets, len(Tier), words), np.uint64)
        self._refs = reserved((max_sets,), np.int64)
        self.void = reserved((max_sets,), np.bool_)
        """By number: whether nobody is in the set. Two numbers may name equal sets after `forget`."""
        self.void[NOBODY] = True
        self.voids = 0
        """Numbers that blocks still name though nobody is in the set."""
        self._number: dict[bytes, int] = {}
        self._free: list[int] = []
        self._next = 1
        self.refused = 0
        """Changes of blocks that were not made, because there were `max_sets` sets."""

    @property
    def slots(self) -> int:
        """Workers that there can be."""
        return int(self._rows.shape[2]) * WORD

    def rows(self, numbers: Values) -> Rows:
        """The sets themselves."""
        return self._rows[numbers]

    def changed(self, numbers: Values, slot: int, tier: Tier | None) -> Values:
        """What each block's set becomes when `slot` holds the block in `tier`, None for not at all. The
        counts follow; where there is no room for a new set, the block's set stays."""
        if not len(numbers):
            return numbers
        if (numbers == numbers[0]).all():  # the rule: blocks of one prefix are held alike
            alike = self._moved(int(numbers[0]), slot, tier, len(numbers))
            return np.full(len(numbers), alike, np.uint32)
        distinct, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        moved = [
            self._moved(old, slot, tier, count)
            for old, count in zip(distinct.tolist(), counts.tolist(), strict=True)
        ]
        return np.array(moved, np.uint32)[place]

    def alone(self, slot: int, tier: Tier, blocks: int) -> int:
        """The set of one worker, for this many more blocks; NOBODY if there is no room for it."""
        return self._moved(NOBODY, slot, tier, blocks)

    def release(self, numbers: Values) -> None:
        """One block less for each of these."""
        somebody = numbers[numbers != NOBODY]
        if not len(somebody):
            return
        distinct, counts = np.unique(somebody, return_counts=True)
        for number, count in zip(distinct.tolist(), counts.tolist(), strict=True):
            self._count(number, -count)

    def forget(self, slot: int) -> None:
        """Takes a worker out of every set; blocks need not be touched."""
        word, bit = divmod(slot, WORD)
        mask = np.uint64(1 << bit)
        held = (self._rows[: self._next, :, word] & mask).any(axis=1)
        for number in np.flatnonzero(held).tolist():
            self._strike(number)
            self._rows[number, :, word] &= ~mask
            if self._rows[number].any():
                self._number.setdefault(_name(self._rows[number]), number)
            else:
                self.void[number] = True
                self.voids += 1

    def entries(self) -> int:
        """Workers over all blocks: counted now, so not for every request."""
        used = self._refs[: self._next].nonzero()[0]
        octets = self._rows.shape[1] * self._rows.shape[2] * (WORD // 8)
        ones = ONES_OF_BYTE.take(self._rows[used].view(np.uint8).reshape(len(used), octets))
        return int(ones.sum(axis=1, dtype=np.int64) @ self._refs[used])

    def _moved(self, old: int, slot: int, tier: Tier | None, count: int) -> int:
        word, bit = divmod(slot, WORD)
        mask = np.uint64(1 << bit)
        row = self._rows[old].copy()
        row[:, word] &= ~mask
        if tier is not None:
            row[tier, word] |= mask
        new = self._interned(row)
        if new is None:
            self.refused += count
            return old
        self._count(new, count)
        self._count(old, -count)
        return new

    def _interned(self, row: Rows) -> int | None:
        if not row.any():
            return NOBODY
        name = _name(row)
        number = self._number.get(name)
        if number is None:
            number = self._free.pop() if self._free else self._next
            if number == len(self._refs):
                return None
            self._next = max(self._next, number + 1)
            self._rows[number] = row
            self._number[name] = number
        return number

    def _count(self, number: int, change: int) -> None:
        if number == NOBODY:
            return
        self._refs[number] += change
        if self._refs[number] == 0 and change < 0:
            self._strike(number)
            self._rows[number] = 0
            self.voids -= int(self.void[number])
            self.void[number] = False
            self._free.append(number)

    def _strike(self, number: int) -> None:
        name = _name(self._rows[number])
        if self._number.get(name) == number:
            del self._number[name]


def _name(row: Rows) -> bytes:
    return blake2b(row.tobytes(), digest_size=16).digest()
