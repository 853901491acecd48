"""How one step reads KV: which pages each slice gathers, and what it may see of them.

Slices of one token are batched, padded to the longest of their group; longer slices go one by one.
Nothing beyond a slice's own end is ever used: what a padded gather brings along is zeroed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.torch_runner.kv_pool import PagedTensor
from engine.torch_runner.packed_batch import PackedBatch, Piece

GROUP_TOKENS = 16384
"""Padded tokens gathered at once: bounds the scratch memory."""
GROUP_SLACK = 4
"""Blocks that a sequence may be padded by, however short it is."""


class PageTable:
    """Pages of B sequences, [B, P] block numbers, and their row numbers in a layer's memory."""

    def __init__(self, blocks: torch.Tensor) -> None:
        self.blocks = blocks
        self._rows: dict[tuple[int, int, int], torch.Tensor] = {}

    def rows(self, paged: PagedTensor) -> torch.Tensor:
        """[B * heads * P] row numbers; layers of one shape share them."""
        key = (paged.block_step, paged.head_step, paged.heads)
        if key not in self._rows:
            heads = torch.arange(paged.heads) * paged.head_step
            rows = self.blocks[:, None, :] * paged.block_step + heads[None, :, None]
            self._rows[key] = rows.reshape(-1)
        return self._rows[key]


@dataclass(frozen=True, slots=True)
class DecodeGroup:
    """B slices of one token that attend together over T gathered tokens."""

    rows: torch.Tensor
    """[B] packed rows."""
    pages: PageTable
    mask: torch.Tensor
    """[B, 1, 1, T], 0 or -inf."""
    hidden: tuple[torch.Tensor, torch.Tensor]
    """(sequence, token) numbers of the places that are masked: zeroed, since 0 x NaN is NaN."""


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """One slice of several tokens."""

    row: int
    count: int
    pages: PageTable | None
    """None: the chunk sees only itself, so nothing is gathered."""
    length: int
    """Gathered tokens that exist, from the first page's start."""
    mask: torch.Tensor
    """[count, length], 0 or -inf."""


class AttentionPlan:
    """The reading side of one step, worked out once per window size."""

    def __init__(self, batch: PackedBatch, block_size: int, dtype: torch.dtype) -> None:
        self.batch = batch
        self._block_size = block_size
        self._dtype = dtype
        self._groups: dict[int | None, tuple[DecodeGroup, ...]] = {}
        self._chunks: dict[int | None, tuple[ChunkSpan, ...]] = {}

    def groups(self, window: int | None) -> tuple[DecodeGroup, ...]:
        """The slices of one token."""
        if window not in self._groups:
            singles = [piece for piece in self.batch.pieces if piece.count == 1]
            self._groups[window] = tuple(self._group(part, window) for part in self._split(singles, window))
        return self._groups[window]

    def chunks(self, window: int | None) -> tuple[ChunkSpan, ...]:
        """The slices of several tokens."""
        if window not in self._chunks:
            several = [piece for piece in self.batch.pieces if piece.count > 1]
            self._chunks[window] = tuple(self._chunk(piece, window) for piece in several)
        return self._chunks[window]

    def _pages(self, piece: Piece, window: int | None) -> range:
        """Indices of the blocks that the piece's first token can see, up to the piece's end."""
        oldest = 0 if window is None else max(0, piece.start + 1 - window)
        return range(oldest // self._block_size, (piece.end - 1) // self._block_size + 1)

    def _split(self, singles: list[Piece], window: int | None) -> list[list[Piece]]:
        """Groups of similar length, within the scratch bound."""
        groups: list[list[Piece]] = []
        room = shortest = 0
        for piece in sorted(singles, key=lambda piece: len(self._pages(piece, window))):
            pages = len(self._pages(piece, window))
            too_long = pages > max(2 * shortest, shortest + GROUP_SLACK)
            if not groups or too_long or (len(groups[-1]) + 1) * pages > room:
                groups.append([])
                shortest, room = pages, GROUP_TOKENS // self._block_size
            groups[-1].append(piece)
        return groups

    def _group(self, pieces: list[Piece], window: int | None) -> DecodeGroup:
        spans = [self._pages(piece, window) for piece in pieces]
        width = max(len(span) for span in spans)
        blocks = np.stack(
            [_padded(p.blocks[s.start : s.stop], width) for p, s in zip(pieces, spans, strict=True)]
        )
        first = torch.tensor([span.start * self._block_size for span in spans])
        ends = torch.tensor([piece.end for piece in pieces])[:, None]
        position = first[:, None] + torch.arange(width * self._block_size)
        hidden = position >= ends
        if window is not None:
            hidden |= position < ends - window
        sequence, token = hidden.nonzero(as_tuple=True)
        return DecodeGroup(
            rows=torch.tensor([piece.row for piece in pieces]),
            pages=PageTable(torch.from_numpy(blocks)),
            mask=self._additive(hidden)[:, None, None, :],
            hidden=(sequence, token),
        )

    def _chunk(self, piece: Piece, window: int | None) -> ChunkSpan:
        pages = None
        first = 0
        if piece.start:
            span = self._pages(piece, window)
            first = span.start * self._block_size
            pages = PageTable(torch.from_numpy(piece.blocks[span.start : span.stop])[None])
        query = torch.arange(piece.start, piece.end)[:, None]
        position = torch.arange(first, piece.end)[None]
        hidden = position > query
        if window is not None:
            hidden |= position <= query - window
        return ChunkSpan(piece.row, piece.count, pages, piece.end - first, self._additive(hidden))

    def _additive(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, float("-inf"))


def _padded(
    blocks: np.ndarray[tuple[int], np.dtype[np.int64]], width: int
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`blocks`, its last one repeated up to `width`: an address that is safe to read."""
    return np.pad(blocks, (0, width - len(blocks)), mode="edge")
