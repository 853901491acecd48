"""KV of the modelled runner: one 64-bit cell a token, which depends on every token before it.

A cell is STEP times the cell before it, plus twice its token, modulo 2^64; before the first stands 1. So
all are odd, none is like memory that was never written, and a whole prompt is a sum over powers of STEP.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Seq

import numpy as np
import numpy.typing as npt

CELL_BYTES = 8
WORD = 0xFFFFFFFFFFFFFFFF
STEP = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse."""
PIECE = 2048
"""Tokens that are summed up at once."""


def chain_cell(previous: int, token: int) -> int:
    """The cell of a token; `previous` is 0 for the first."""
    return ((previous or 1) * STEP + 2 * token) & WORD


class CellChain:
    """The same for many tokens at once."""

    def __init__(self) -> None:
        self._up = _powers(STEP)
        self._down = _powers(pow(STEP, -1, WORD + 1)) * np.uint64(2)

    def extend(self, cell: int, tokens: Seq[int]) -> npt.NDArray[np.uint64]:
        """Cells of `tokens`, which follow `cell`."""
        numbers = np.frombuffer(array("Q", tokens), np.uint64)
        cells = np.empty_like(numbers)
        for start in range(0, len(numbers), PIECE):
            piece = numbers[start : start + PIECE]
            sums = np.cumsum(piece * self._down[: len(piece)])
            cells[start : start + PIECE] = (sums + np.uint64(cell or 1)) * self._up[: len(piece)]
            cell = int(cells[start + len(piece) - 1])
        return cells


def _powers(number: int) -> npt.NDArray[np.uint64]:
    """From the first to that of PIECE."""
    return np.multiply.accumulate(np.full(PIECE, number, np.uint64))
