"""The slices of a step as the Triton kernels read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from engine.torch_runner.packed_batch import Piece


@dataclass(frozen=True, slots=True)
class SliceTables:
    """int64 tensors beside the KV memory. Slices of one token come first."""

    rows: torch.Tensor
    """[S] packed row of each slice's first token."""
    counts: torch.Tensor
    """[S] tokens of each slice."""
    starts: torch.Tensor
    """[S] position of each slice's first token; -1 in a padded slice, which sees nothing."""
    begins: torch.Tensor
    """[S] where each slice's block table begins in `blocks`."""
    blocks: torch.Tensor
    """[*] block tables, one after another."""
    singles: int
    """Slices of one token."""
    context: int
    """Positions that the longest of them sees, or a bound of it."""
    longest: int
    """Tokens of the longest other slice; 0 without any."""


@dataclass(frozen=True, slots=True)
class HostTables:
    """SliceTables before they are on the device."""

    rows: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    begins: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    singles: int
    context: int
    longest: int

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> HostTables:
        """The tables of at least one slice."""
        order = sorted(pieces, key=lambda piece: piece.count > 1)
        sizes = np.array([len(piece.blocks) for piece in order], np.int64)
        numbers = np.array([(piece.row, piece.count, piece.start) for piece in order], np.int64)
        return cls(
            rows=numbers[:, 0],
            counts=numbers[:, 1],
            starts=numbers[:, 2],
            begins=np.cumsum(sizes) - sizes,
            blocks=np.concatenate([piece.blocks for piece in order]),
            singles=sum(piece.count == 1 for piece in order),
            context=max((piece.end for piece in order if piece.count == 1), default=0),
            longest=max((piece.count for piece in order if piece.count > 1), default=0),
        )

    def on(self, device: torch.device) -> SliceTables:
        """A copy there, made at once."""
        rows, counts, starts, begins, blocks = (
            torch.from_numpy(np.ascontiguousarray(column)).to(device)
            for column in (self.rows, self.counts, self.starts, self.begins, self.blocks)
        )
        return SliceTables(rows, counts, starts, begins, blocks, self.singles, self.context, self.longest)
