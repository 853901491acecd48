"""The inputs of a step in one piece of memory, so that one copy brings them to the device."""

from __future__ import annotations

import torch

from engine.torch_runner.cuda.slice_tables import SliceTables
from engine.torch_runner.cuda.step_batch import KNOWN, StepBatch
from engine.torch_runner.packed_batch import PackedBatch

ALIGN = 16
"""Items: sections begin at multiples of 128 bytes, so that kernels find all alike."""
TOKEN_SECTIONS = 5
SLICE_SECTIONS = 5


class StepInputs:
    """Views of an int64 buffer for N tokens and S slices; block tables take the rest of it."""

    def __init__(self, buffer: torch.Tensor, tokens: int, slices: int) -> None:
        self._buffer = buffer
        self._at = 0
        self.ids, self.positions, self.write_blocks, self.write_offsets, self.carry = (
            self._section(tokens) for _ in range(TOKEN_SECTIONS)
        )
        self.last, self.rows, self.counts, self.starts, self.begins = (
            self._section(slices) for _ in range(SLICE_SECTIONS)
        )
        self.blocks = buffer[self._at :]

    @staticmethod
    def size(tokens: int, slices: int, table_items: int) -> int:
        """Items of the buffer."""
        return TOKEN_SECTIONS * _aligned(tokens) + SLICE_SECTIONS * _aligned(slices) + table_items

    def fill(self, batch: StepBatch) -> None:
        """Writes a batch of at most as many tokens and slices. Padded rows, which decode steps may have,
        are sequences without any tokens: they see nothing, and store nothing."""
        packed, tables = batch.packed, batch.tables
        sections = (
            (self.ids, packed.input_ids[0], 0),
            (self.positions, packed.position_ids[0], 0),
            (self.write_blocks, packed.write_blocks, -1),
            (self.write_offsets, packed.write_offsets, 0),
            (self.carry, batch.carry, KNOWN),
            (self.last, batch.last, 0),
            (self.rows, tables.rows, 0),
            (self.counts, tables.counts, 1),
            (self.starts, tables.starts, -1),
            (self.begins, tables.begins, 0),
        )
        for section, values, padding in sections:
            section[: len(values)] = torch.as_tensor(values)
            section[len(values) :] = padding
        self.blocks[: len(tables.blocks)] = torch.as_tensor(tables.blocks)
        for section in (self.last, self.rows):
            section[batch.slices :] = torch.arange(batch.slices, len(section))

    def packed(self) -> PackedBatch:
        """As the model and the attention take it; without pieces, which only the host knows."""
        return PackedBatch(
            pieces=(),
            input_ids=self.ids[None],
            position_ids=self.positions[None],
            write_blocks=self.write_blocks,
            write_offsets=self.write_offsets,
            draw_rows=self.last,
        )

    def tables(self, singles: int, context: int, longest: int) -> SliceTables:
        """As the attention takes them; see there."""
        return SliceTables(
            self.rows, self.counts, self.starts, self.begins, self.blocks, singles, context, longest
        )

    def _section(self, items: int) -> torch.Tensor:
        begin = self._at
        self._at += _aligned(items)
        return self._buffer[begin : begin + items]


def _aligned(items: int) -> int:
    return -(-items // ALIGN) * ALIGN
