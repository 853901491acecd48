"""Attention by block tables in plain torch: what the Triton kernels are to the device runner."""

from __future__ import annotations

import torch

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.cuda.slice_tables import SliceTables
from engine.torch_runner.kv_pool import LayerKv, PagedTensor
from engine.torch_runner.packed_batch import PackedBatch


class TorchTableAttention:
    """One slice after the other, one formula for all."""

    def __init__(self) -> None:
        self._tables: SliceTables | None = None

    def bind(self, batch: PackedBatch, tables: SliceTables) -> None:
        """Those of the next call."""
        self._tables = tables

    def write(self, call: AttentionCall, layer: LayerKv, batch: PackedBatch) -> None:
        """A token whose block is -1 has no slot."""
        real = batch.write_blocks >= 0
        blocks, offsets = batch.write_blocks[real], batch.write_offsets[real]
        layer.key.slots[blocks, :, offsets] = call.key[:, real].transpose(0, 1)
        layer.value.slots[blocks, :, offsets] = call.value[:, real].transpose(0, 1)

    def attend(self, call: AttentionCall, layer: LayerKv, plan: AttentionPlan) -> torch.Tensor:
        """[N, Hq, Dv]"""
        tables = self._tables
        assert tables is not None
        heads, tokens, _ = call.query.shape
        out = call.query.new_full((tokens, heads, layer.value.dim), float("nan"))
        columns = (tables.rows, tables.counts, tables.starts, tables.begins)
        for row, count, start, begin in zip(*(one.tolist() for one in columns), strict=True):
            here, end = slice(row, row + count), start + count
            if end == 0:
                out[here] = 0.0
                continue
            blocks = tables.blocks[begin : begin - (-end // layer.key.slots.shape[2])]
            key, value = (_gathered(one, blocks, end) for one in (layer.key, layer.value))
            out[here] = _attended(call, call.query[:, here], key, value, start)
        return out


def _gathered(paged: PagedTensor, blocks: torch.Tensor, end: int) -> torch.Tensor:
    """[heads, end, D]"""
    return paged.slots[blocks].transpose(0, 1).reshape(paged.heads, -1, paged.dim)[:, :end]


def _attended(
    call: AttentionCall, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, start: int
) -> torch.Tensor:
    group = query.shape[0] // key.shape[0]
    key, value = key.repeat_interleave(group, 0), value.repeat_interleave(group, 0)
    scores = (query.float() @ key.float().transpose(1, 2)) * call.scaling
    if call.softcap is not None:
        scores = call.softcap * torch.tanh(scores / call.softcap)
    place, position = torch.arange(key.shape[1]), start + torch.arange(query.shape[1])[:, None]
    hidden = place > position
    if call.window is not None:
        hidden |= place <= position - call.window
    scores = scores.masked_fill(hidden, float("-inf"))
    if call.sinks is not None:
        sinks = call.sinks.float()[:, None, None].expand(-1, query.shape[1], 1)
        scores = torch.cat((scores, sinks), -1).softmax(-1)[..., :-1]
    else:
        scores = scores.softmax(-1)
    visible = value.float().masked_fill(hidden.all(0)[None, :, None], 0.0)
    return (scores @ visible).transpose(0, 1).to(query.dtype)
