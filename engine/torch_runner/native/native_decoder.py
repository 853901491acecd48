"""A causal model of the Llama family whose small steps are one native call: all layers and the logits."""

from __future__ import annotations

from ctypes import addressof, byref
from typing import Any

import torch
from torch.nn.functional import embedding
from transformers.modeling_outputs import CausalLMOutputWithPast

from engine.torch_runner.attention_hook import HOOK_ATTRIBUTE
from engine.torch_runner.kv_pool import KvPool
from engine.torch_runner.native.decoder_arguments import DecoderArguments, LayerArguments, StepArguments
from engine.torch_runner.native.fused_layer import FusedLayer, LayerFacts
from engine.torch_runner.native.int8_operators import row_bytes
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.native_attention import NativeAttention
from engine.torch_runner.native.projections import Projections
from engine.torch_runner.packed_batch import PackedBatch
from engine.torch_runner.paged_hook import PagedHook

KNOWN_MODELS = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
"""Classes whose forward is this one: embedding, positions, layers, norm, one linear head."""


class NativeDecoder:
    """Takes the place of the model's forward. Steps of more rows than the kernels take, and passes
    outside a step of the native attention, run through the modules as before."""

    def __init__(
        self,
        network: Any,
        layers: tuple[FusedLayer, ...],
        library: NativeLibrary,
        projections: Projections,
    ) -> None:
        """`projections` made the layers."""
        self._network = network
        self._projections = projections
        self._layers = layers
        self._library = library
        self._embedding = network.model.embed_tokens.weight
        self._positions = network.model.rotary_emb
        self._scratch = _Scratch(layers[0].facts, self._embedding)
        self._pool: KvPool | None = None
        self._rows = (LayerArguments * len(layers))()
        self._model = DecoderArguments()

    def __call__(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        use_cache: bool = False,
        logits_to_keep: Any = 0,
    ) -> CausalLMOutputWithPast:
        """Like the model's own forward; logits [1, R, vocabulary] come in fp32."""
        hook = getattr(self._network.model.layers[0].self_attn, HOOK_ATTRIBUTE)
        if (
            isinstance(hook, PagedHook)
            and hook.plan is not None
            and isinstance(hook.attention, NativeAttention)
            and isinstance(logits_to_keep, torch.Tensor)
            and input_ids.shape[1] <= self._projections.most_rows
        ):
            logits = self._step(hook.plan.batch, hook.pool, hook.attention, logits_to_keep)
            return CausalLMOutputWithPast(logits=logits[None])
        out: CausalLMOutputWithPast = type(self._network).forward(
            self._network,
            input_ids=input_ids,
            position_ids=position_ids,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
        )
        return out

    def _step(
        self, batch: PackedBatch, pool: KvPool, attention: NativeAttention, wanted: torch.Tensor
    ) -> torch.Tensor:
        if pool is not self._pool:
            self._bind(pool)
        pieces, tables = attention.tables(batch, len(pool.layers[0].key.slots))
        x = embedding(batch.input_ids[0], self._embedding)
        cosine, sine = self._positions(x, batch.position_ids)
        logits = torch.empty(len(wanted), len(self._embedding))
        self._scratch.fit(len(x))
        step = StepArguments(
            x.data_ptr(),
            *self._scratch.addresses,
            logits.data_ptr(),
            cosine.data_ptr(),
            sine.data_ptr(),
            batch.write_blocks.data_ptr(),
            batch.write_offsets.data_ptr(),
            pieces.ctypes.data,
            tables.ctypes.data,
            wanted.data_ptr(),
            len(x),
            len(batch.pieces),
            len(wanted),
            self._scratch.memory,
        )
        self._projections.decode(byref(self._model), byref(step))
        return logits

    def _bind(self, pool: KvPool) -> None:
        """The model over this pool's memory."""
        for row, layer, kv in zip(self._rows, self._layers, pool.layers, strict=True):
            layer.describe(row)
            row.keys, row.values = kv.key.slots.data_ptr(), kv.value.slots.data_ptr()
        facts, keys = self._layers[0].facts, pool.layers[0].key
        self._model = DecoderArguments(
            addressof(self._rows),
            self._network.model.norm.weight.data_ptr(),
            self._network.lm_head.__dict__["forward"].address,
            len(self._layers),
            facts.hidden,
            facts.queries,
            facts.keys,
            facts.dim,
            facts.inner,
            len(self._embedding),
            pool.layout.block_size,
            keys.slots.stride(0),
            self._library.threads,
            keys.slots.dtype is torch.int8,
            facts.eps,
            facts.head_eps,
            facts.scaling,
        )
        self._pool = pool


class _Scratch:
    """What one step leaves for the next kernel; it grows to the largest step."""

    def __init__(self, facts: LayerFacts, like: torch.Tensor) -> None:
        attended = facts.queries * facts.dim
        self._like = like
        self._widths = (facts.hidden, attended + 2 * facts.keys * facts.dim, attended, facts.inner)
        self._kept: list[torch.Tensor] = []
        self.addresses: list[int] = []
        self.memory = 0

    def fit(self, rows: int) -> None:
        """Room for so many rows. What it held before is void."""
        if self._kept and rows <= len(self._kept[0]):
            return
        hidden, _, attended, inner = self._widths
        self._kept = [self._like.new_empty(rows, width) for width in self._widths]
        self.addresses = [tensor.data_ptr() for tensor in self._kept]
        whole = row_bytes(max(hidden, attended, inner))
        self._kept.append(torch.empty(rows, whole, dtype=torch.uint8))
        self.memory = self._kept[-1].data_ptr()


def can_decode(network: Any, library: NativeLibrary) -> bool:
    """Whether NativeDecoder computes what this model does, its layers being FusedLayer already."""
    if type(network).__name__ not in KNOWN_MODELS or not library.linear_rows:
        return False
    layers = [layer.__dict__.get("forward") for layer in network.model.layers]
    head, table = network.lm_head, network.model.embed_tokens.weight
    if not all(isinstance(layer, FusedLayer) for layer in layers):
        return False
    facts = layers[0].facts
    return (
        len({layer.facts for layer in layers}) == 1
        and head.bias is None
        and (head.out_features, head.in_features) == table.shape
        and "forward" in head.__dict__
        and table.dtype is torch.bfloat16
        and table.is_contiguous()
        and not any(size % 2 for size in (facts.hidden, facts.inner, facts.queries * facts.dim))
        and network.model.norm.variance_epsilon == facts.eps
    )
