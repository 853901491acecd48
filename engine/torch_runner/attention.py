"""Paged attention on torch: pages are gathered into scratch memory, then SDPA runs on them.

It runs where the native kernels cannot be built.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan, ChunkSpan, DecodeGroup, PageTable
from engine.torch_runner.kv_pool import LayerKv, PagedTensor
from engine.torch_runner.packed_batch import PackedBatch
from engine.torch_runner.scratch import Scratch

TILE_SCORES = 1 << 23
"""Scores held at once where they must be explicit."""


class Attention(Protocol):
    """The seam of attention backends."""

    def write(self, call: AttentionCall, layer: LayerKv, batch: PackedBatch) -> None:
        """Puts K and V of the call into their slots."""
        ...

    def attend(self, call: AttentionCall, layer: LayerKv, plan: AttentionPlan) -> torch.Tensor:
        """[N, Hq, Dv]. K and V of the call are in `layer` already."""
        ...


class TorchAttention:
    """Gather + SDPA; explicit scores where a softcap or sinks rule SDPA out."""

    def __init__(self) -> None:
        self._keys = Scratch()
        self._values = Scratch()

    def write(self, call: AttentionCall, layer: LayerKv, batch: PackedBatch) -> None:
        """Puts K and V of the call into their slots."""
        layer.key.slots[batch.write_blocks, :, batch.write_offsets] = call.key.transpose(0, 1)
        layer.value.slots[batch.write_blocks, :, batch.write_offsets] = call.value.transpose(0, 1)

    def attend(self, call: AttentionCall, layer: LayerKv, plan: AttentionPlan) -> torch.Tensor:
        """Every slice of the step, each over its own blocks only."""
        heads, tokens, _ = call.query.shape
        out = call.query.new_empty(tokens, heads, call.value.shape[-1])
        for group in plan.groups(call.window):
            out[group.rows] = self._decode(call, layer, group)
        for span in plan.chunks(call.window):
            out[span.row : span.row + span.count] = self._chunk(call, layer, span)
        return out

    def _decode(self, call: AttentionCall, layer: LayerKv, group: DecodeGroup) -> torch.Tensor:
        key = self._gather(self._keys, layer.key, group.pages)
        value = self._gather(self._values, layer.value, group.pages)
        sequence, token = group.hidden
        if len(sequence):
            key[sequence, :, token] = 0
            value[sequence, :, token] = 0
        query = call.query[:, group.rows].transpose(0, 1)[:, :, None]
        return _attend(call, query, key, value, group.mask)[:, :, 0]

    def _chunk(self, call: AttentionCall, layer: LayerKv, span: ChunkSpan) -> torch.Tensor:
        here = slice(span.row, span.row + span.count)
        if span.pages is None:
            key, value = call.key[None, :, here], call.value[None, :, here]
        else:
            key = self._gather(self._keys, layer.key, span.pages)[:, :, : span.length]
            value = self._gather(self._values, layer.value, span.pages)[:, :, : span.length]
        return _attend(call, call.query[None, :, here], key, value, span.mask)[0].transpose(0, 1)

    def _gather(self, scratch: Scratch, paged: PagedTensor, pages: PageTable) -> torch.Tensor:
        """[B, heads, P * block_size, D], valid until the next gather into `scratch`."""
        index = pages.rows(paged)
        out = scratch.take(len(index), paged.rows.shape[1], paged.rows.dtype)
        torch.index_select(paged.rows, 0, index, out=out)
        return out.view(len(pages.blocks), paged.heads, -1, paged.dim)


def _attend(
    call: AttentionCall, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """query [B, Hq, n, Dk], key and value [B, Hkv, T, D], mask broadcasts to [B, 1, n, T]: [B, Hq, n, Dv]."""
    if call.softcap is not None or call.sinks is not None:
        return _explicit(call, query, key, value, mask)
    batch, heads, count, _ = query.shape
    if count > 1:
        return scaled_dot_product_attention(
            query, key, value, mask, scale=call.scaling, enable_gqa=heads != key.shape[1]
        )
    # The query heads that share a KV head are rows of one attention: nothing is repeated.
    packed = query.reshape(batch, key.shape[1], -1, query.shape[-1])
    out = scaled_dot_product_attention(packed, key, value, mask, scale=call.scaling)
    return out.reshape(batch, heads, count, -1)


def _explicit(
    call: AttentionCall, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Like _attend, in tiles of queries, so that the scores stay within TILE_SCORES."""
    batch, heads, count, _ = query.shape
    tile = max(1, TILE_SCORES // (batch * heads * key.shape[2]))
    outs = []
    for at in range(0, count, tile):
        probabilities = _probabilities(call, query[:, :, at : at + tile], key, mask[..., at : at + tile, :])
        part = probabilities.to(value.dtype).flatten(2, 3) @ value
        outs.append(part.view(batch, heads, -1, value.shape[-1]))
    return torch.cat(outs, dim=2)


def _probabilities(
    call: AttentionCall, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """[B, Hkv, G, n, T] in fp32; a sink takes its share and is dropped."""
    batch, heads, count, dim = query.shape
    shared = key.shape[1]
    packed = query.reshape(batch, shared, heads // shared * count, dim)
    scores = (packed @ key.transpose(2, 3)).float() * call.scaling
    scores = scores.view(batch, shared, heads // shared, count, -1)
    if call.softcap is not None:
        scores = call.softcap * torch.tanh(scores / call.softcap)
    scores = scores + (mask[:, :, None] if mask.dim() == 4 else mask)
    if call.sinks is None:
        return scores.softmax(-1)
    sinks = call.sinks.float().view(1, shared, -1, 1, 1).expand(batch, -1, -1, count, 1)
    return torch.cat((scores, sinks), dim=-1).softmax(-1)[..., :-1]
