"""Paged attention by the native kernel: nothing is gathered, nothing is padded."""

from __future__ import annotations

from ctypes import byref

import numpy as np
import numpy.typing as npt
import torch

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.kv_pool import LayerKv, PagedTensor
from engine.torch_runner.native.library import AttentionArguments, NativeLibrary
from engine.torch_runner.packed_batch import PackedBatch
from protocol.errors import EngineFailed

Numbers = npt.NDArray[np.int64]


class NativeAttention:
    """Implements the Attention seam on CPU memory, fp32 and bf16."""

    def __init__(self, library: NativeLibrary) -> None:
        self._library = library
        self._batch: PackedBatch | None = None
        self._pieces: Numbers = np.zeros((0, 4), np.int64)
        self._tables: Numbers = np.zeros(0, np.int64)

    def write(self, call: AttentionCall, layer: LayerKv, batch: PackedBatch) -> None:
        """Puts K and V of the call into their slots. Raises EngineFailed for a block that does not exist."""
        self.tables(batch, layer.key.slots.shape[0])
        self._write(call.key, layer.key, batch)
        self._write(call.value, layer.value, batch)

    def attend(self, call: AttentionCall, layer: LayerKv, plan: AttentionPlan) -> torch.Tensor:
        """Every slice of the step, each over its own blocks only."""
        pieces, tables = self.tables(plan.batch, layer.key.slots.shape[0])
        key, value = layer.key, layer.value
        query = _rows(call.query, computed_in(key.slots))
        heads, tokens, k_dim = query.shape
        v_dim = call.value.shape[2]
        out = query.new_empty(tokens, heads, v_dim)
        sinks = None if call.sinks is None else call.sinks.float().contiguous()
        arguments = AttentionArguments(
            query.data_ptr(),
            key.slots.data_ptr(),
            value.slots.data_ptr(),
            out.data_ptr(),
            None if sinks is None else sinks.data_ptr(),
            pieces.ctypes.data,
            tables.ctypes.data,
            len(plan.batch.pieces),
            query.stride(0),
            query.stride(1),
            key.slots.stride(0),
            key.slots.shape[2],
            key.heads,
            heads // key.heads,
            k_dim,
            v_dim,
            call.window or 0,
            self._library.threads,
            call.scaling,
            call.softcap or 0.0,
        )
        self._library.attend[key.slots.dtype](byref(arguments))
        return out

    def _write(self, rows: torch.Tensor, paged: PagedTensor, batch: PackedBatch) -> None:
        rows = _rows(rows, computed_in(paged.slots))
        heads, tokens, dim = rows.shape
        slots = paged.slots
        arguments = (
            rows.data_ptr(),
            rows.stride(0),
            rows.stride(1),
            slots.data_ptr(),
            slots.stride(0),
            slots.stride(1),
            batch.write_blocks.data_ptr(),
            batch.write_offsets.data_ptr(),
            tokens,
            heads,
            dim,
        )
        if slots.dtype is torch.int8:
            self._library.store_int8(*arguments)
        else:
            self._library.store(*arguments, slots.element_size())

    def tables(self, batch: PackedBatch, num_blocks: int) -> tuple[Numbers, Numbers]:
        """Pieces and block tables of a step as the kernels read them, worked out once for all layers.
        Raises EngineFailed for a block that does not exist."""
        if batch is self._batch:
            return self._pieces, self._tables
        sizes = [len(piece.blocks) for piece in batch.pieces]
        begins = np.cumsum([0, *sizes[:-1]])
        rows = [
            (piece.row, piece.count, piece.start, begin)
            for piece, begin in zip(batch.pieces, begins, strict=True)
        ]
        self._pieces = np.array(rows, np.int64)
        self._tables = np.concatenate([piece.blocks for piece in batch.pieces])
        if self._tables.min() < 0 or self._tables.max() >= num_blocks:
            raise EngineFailed(f"a block table names a block that is not one of {num_blocks}")
        self._batch = batch
        return self._pieces, self._tables


def computed_in(slots: torch.Tensor) -> torch.dtype:
    """What queries and outputs are, over these slots."""
    return torch.bfloat16 if slots.dtype is torch.int8 else slots.dtype


def _rows(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`tensor` [heads, tokens, D] in `dtype`, each row contiguous."""
    tensor = tensor.to(dtype)
    return tensor if tensor.stride(2) == 1 else tensor.contiguous()
