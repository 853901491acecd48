"""Which workers hold which blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class Holders:
    """One bit per worker and block. Exact and without delay, unlike a real index, which is fed by events."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._bits: dict[int, int] = {}

    def add(self, block: int, worker: int) -> None:
        """The worker has it now."""
        self._bits[block] = self._bits.get(block, 0) | (1 << worker)

    def remove(self, block: int, worker: int) -> None:
        """The worker evicted it."""
        left = self._bits[block] & ~(1 << worker)
        if left:
            self._bits[block] = left
        else:
            del self._bits[block]

    def matched(self, chain: Sequence[int]) -> npt.NDArray[np.int64]:
        """Blocks of the chain that each worker holds from its start, [workers]."""
        found = np.zeros(self._workers, dtype=np.int64)
        holding = (1 << self._workers) - 1
        depth = 0
        for block in chain:
            now = holding & self._bits.get(block, 0)
            if now != holding:
                self._note(found, holding & ~now, depth)
                holding = now
            if not holding:
                return found
            depth += 1
        self._note(found, holding, depth)
        return found

    @staticmethod
    def _note(found: npt.NDArray[np.int64], bits: int, depth: int) -> None:
        if not depth:
            return
        while bits:
            low = bits & -bits
            found[low.bit_length() - 1] = depth
            bits ^= low
