"""One step as the packed tensors that the model and its attention need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from engine.step import Step


@dataclass(frozen=True, slots=True)
class Piece:
    """One slice: `count` tokens from packed row `row` on, at positions from `start` on."""

    row: int
    count: int
    start: int
    blocks: npt.NDArray[np.int64]

    @property
    def end(self) -> int:
        """Positions whose KV exists once this piece is written."""
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """All slices of a step, one after another."""

    pieces: tuple[Piece, ...]
    input_ids: torch.Tensor
    """[1, N]"""
    position_ids: torch.Tensor
    """[1, N]"""
    write_blocks: torch.Tensor
    """[N] block of each token."""
    write_offsets: torch.Tensor
    """[N] place of each token in its block."""
    draw_rows: torch.Tensor
    """[R] packed row of the last token of each slice that draws."""


def pack(step: Step, block_size: int) -> PackedBatch:
    """The tensors of a step that has at least one slice."""
    pieces: list[Piece] = []
    row = 0
    for part in step.slices:
        pieces.append(Piece(row, len(part.tokens), part.start, np.asarray(part.blocks, np.int64)))
        row += len(part.tokens)
    positions = [np.arange(piece.start, piece.end) for piece in pieces]
    blocks = [piece.blocks[at // block_size] for piece, at in zip(pieces, positions, strict=True)]
    tokens = [np.asarray(part.tokens, np.int64) for part in step.slices]
    packed = torch.from_numpy(np.concatenate(positions))
    draws = [
        p.row + p.count - 1 for p, part in zip(pieces, step.slices, strict=True) if part.draw is not None
    ]
    return PackedBatch(
        pieces=tuple(pieces),
        input_ids=torch.from_numpy(np.concatenate(tokens))[None],
        position_ids=packed[None],
        write_blocks=torch.from_numpy(np.concatenate(blocks)),
        write_offsets=packed % block_size,
        draw_rows=torch.tensor(draws, dtype=torch.long),
    )
