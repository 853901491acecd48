"""Paged attention by the Triton kernels: nothing is gathered, nothing is padded but tiles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.cuda.attention_kernel import attend_kernel, join_kernel
from engine.torch_runner.cuda.slice_tables import HostTables, SliceTables
from engine.torch_runner.cuda.store_kernel import store_kernel
from engine.torch_runner.kv_pool import LayerKv
from engine.torch_runner.packed_batch import PackedBatch

MIN_TILE = 16
"""What a matrix unit takes at least, on each side."""
CHUNK_ROWS = 64
"""Rows of a tile where there are many queries, if heads are not too large for that."""
QUERY_BYTES = 32768
"""Of queries held at once."""
TILE_BYTES = 16384
"""Of K, or of V, held at once; several are in flight."""
SPLIT_TOKENS = 256
"""Parts of a context are no shorter."""
MAX_SPLITS = 32
PROGRAMS_PER_UNIT = 2
"""Of the device's multiprocessors, when single tokens are split."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Slices that one launch serves: from `first`, `slices` of them, in tiles of `rows` rows."""

    first: int
    slices: int
    longest: int
    rows: int
    splits: int


class TritonAttention:
    """Implements the Attention seam on a device, fp32 and bf16."""

    def __init__(self, multiprocessors: int) -> None:
        self._units = multiprocessors
        self._batch: PackedBatch | None = None
        self._tables: SliceTables | None = None

    def bind(self, batch: PackedBatch, tables: SliceTables) -> None:
        """The tables of `batch`, which are beside the KV memory already."""
        self._batch, self._tables = batch, tables

    def write(self, call: AttentionCall, layer: LayerKv, batch: PackedBatch) -> None:
        """Puts K and V of the call into their slots; a token whose block is -1 has none."""
        key, value = _rows(call.key), _rows(call.value)
        keys, values = layer.key.slots, layer.value.slots
        store_kernel[(key.shape[1], key.shape[0])](
            key,
            value,
            keys,
            values,
            batch.write_blocks.to(keys.device),
            batch.write_offsets.to(keys.device),
            key.stride(0),
            key.stride(1),
            value.stride(0),
            value.stride(1),
            keys.stride(0),
            BLOCK_SIZE=keys.shape[2],
            K_DIM=layer.key.dim,
            V_DIM=layer.value.dim,
            TILE_K=_tile(layer.key.dim),
            TILE_V=_tile(layer.value.dim),
        )

    def attend(self, call: AttentionCall, layer: LayerKv, plan: AttentionPlan) -> torch.Tensor:
        """Every slice of the step, each over its own blocks only."""
        tables = self._read(plan.batch, layer.key.slots.device)
        query = _rows(call.query.to(layer.key.slots.dtype))
        heads, tokens, _ = query.shape
        out = query.new_empty(tokens, heads, layer.value.dim)
        seen = tables.context if call.window is None else min(tables.context, call.window)
        row_bytes = _tile(layer.key.dim) * query.element_size()
        for part in self._parts(tables, layer.key.heads, heads // layer.key.heads, seen, row_bytes):
            self._launch(call, layer, query, tables, part, out)
        return out

    def _read(self, batch: PackedBatch, device: torch.device) -> SliceTables:
        if self._tables is None or batch is not self._batch:
            self._batch, self._tables = batch, HostTables.of(batch.pieces).on(device)
        return self._tables

    def _parts(
        self, tables: SliceTables, kv_heads: int, group: int, context: int, row_bytes: int
    ) -> list[_Part]:
        """Single tokens, split if they are too few for the device, then chunks."""
        parts = []
        if tables.singles:
            splits = split_count(tables.singles * kv_heads, context, self._units)
            parts.append(_Part(0, tables.singles, 1, _tile(group), splits))
        chunks = len(tables.rows) - tables.singles
        if chunks:
            rows = max(_queries_at_once(row_bytes), _tile(group))
            parts.append(_Part(tables.singles, chunks, tables.longest, rows, 1))
        return parts

    def _launch(
        self,
        call: AttentionCall,
        layer: LayerKv,
        query: torch.Tensor,
        tables: SliceTables,
        part: _Part,
        out: torch.Tensor,
    ) -> None:
        keys, values = layer.key.slots, layer.value.slots
        heads, group = query.shape[0], query.shape[0] // layer.key.heads
        here = slice(part.first, part.first + part.slices)
        sinks = out if call.sinks is None else call.sinks.float().contiguous()
        target, logs = _targets(part, out)
        tile_k, tile_v = _tile(layer.key.dim), _tile(layer.value.dim)
        tiles = -(-part.longest // (part.rows // group))
        attend_kernel[(part.slices, tiles, layer.key.heads * part.splits)](
            query,
            keys,
            values,
            sinks,
            target,
            logs,
            tables.rows[here],
            tables.counts[here],
            tables.starts[here],
            tables.begins[here],
            tables.blocks,
            query.stride(0),
            query.stride(1),
            keys.stride(0),
            call.scaling,
            call.softcap or 0.0,
            call.window or 0,
            GROUP=group,
            BLOCK_SIZE=keys.shape[2],
            K_DIM=layer.key.dim,
            V_DIM=layer.value.dim,
            TILE_M=part.rows,
            TILE_N=_keys_at_once(max(tile_k, tile_v) * keys.element_size()),
            TILE_K=tile_k,
            TILE_V=tile_v,
            SPLITS=part.splits,
            HAS_WINDOW=call.window is not None,
            HAS_SOFTCAP=call.softcap is not None,
            HAS_SINKS=call.sinks is not None,
            num_stages=2,
        )
        if part.splits > 1:
            parts = (target, logs, sinks, out, tables.rows[here])
            join_kernel[(part.slices, heads)](
                *parts,
                V_DIM=layer.value.dim,
                TILE_V=tile_v,
                SPLITS=part.splits,
                HAS_SINKS=call.sinks is not None,
            )


def _targets(part: _Part, out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a launch puts its results, and the logs of its parts if there are several."""
    if part.splits == 1:
        return out, out
    shape = (part.splits, part.slices, *out.shape[1:])
    return out.new_empty(shape, dtype=torch.float32), out.new_empty(shape[:-1], dtype=torch.float32)


def split_count(programs: int, context: int, multiprocessors: int) -> int:
    """Into how many parts contexts are cut, a power of two: enough to fill the device, no part too short."""
    wanted = PROGRAMS_PER_UNIT * multiprocessors // max(1, programs)
    most = min(wanted, context // SPLIT_TOKENS, MAX_SPLITS)
    return 1 << (most.bit_length() - 1) if most > 1 else 1


def _queries_at_once(row_bytes: int) -> int:
    """Rows of a tile of queries: a power of two."""
    return max(MIN_TILE, min(CHUNK_ROWS, QUERY_BYTES // row_bytes))


def _keys_at_once(row_bytes: int) -> int:
    """Tokens of K in a tile: a power of two."""
    return max(MIN_TILE, min(128, TILE_BYTES // row_bytes))


def _tile(size: int) -> int:
    """The power of two that holds `size`."""
    return max(MIN_TILE, 1 << (size - 1).bit_length())


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` [heads, tokens, D], each row contiguous."""
    return tensor if tensor.stride(2) == 1 else tensor.contiguous()
