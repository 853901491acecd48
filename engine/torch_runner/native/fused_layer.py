"""A whole decoder layer of the Llama family: eight kernels, one weight for q, k and v."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_hook import HOOK_ATTRIBUTE
from engine.torch_runner.native.decoder_arguments import LayerArguments
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.operators import NativeNorm, NativeRotation
from engine.torch_runner.native.projections import Projections

KNOWN_LAYERS = frozenset(
    {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"}
)
"""Classes whose forward is this one: norm, attention, residual, norm, gated MLP, residual."""


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What all layers of a model have in common, if one native call is to run them."""

    hidden: int
    queries: int
    keys: int
    """Heads."""
    dim: int
    inner: int
    eps: float
    head_eps: float
    scaling: float


class FusedLayer:
    """Takes the place of a decoder layer's forward."""

    def __init__(
        self, layer: Any, library: NativeLibrary, projections: Projections, window: int | None
    ) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self._attention = attention
        self._window = window
        self._dim = int(attention.head_dim)
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        self._heads = tuple(part.out_features // self._dim for part in parts)
        norms = [getattr(attention, name, None) for name in ("q_norm", "k_norm")]
        weights = tuple(None if norm is None else norm.weight for norm in norms)
        eps = 0.0 if norms[0] is None else norms[0].variance_epsilon
        self._rotate = NativeRotation(library, self._heads[:2], weights, self._dim, eps)
        self._head_eps = eps
        self._qkv = projections.linear(*parts)
        self._out = projections.linear(attention.o_proj)
        self._norm, self._second_norm = (
            NativeNorm(library, norm.weight, norm.variance_epsilon)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        )
        self._gate = projections.gate(mlp.gate_proj, mlp.up_proj)
        self._down = projections.linear(mlp.down_proj)

    def __call__(
        self,
        hidden_states: torch.Tensor,
        *_: Any,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **__: Any,
    ) -> torch.Tensor:
        """[1, N, hidden] for [1, N, hidden]."""
        rows = hidden_states[0].contiguous()
        rows = self._out(self._attend(self._qkv(self._norm(rows)), *position_embeddings), rows)
        return self._down(self._gate(self._second_norm(rows)), rows)[None]

    @property
    def facts(self) -> LayerFacts:
        """Sizes and constants."""
        inner, hidden = self._gate.shape
        return LayerFacts(
            hidden=hidden,
            queries=self._heads[0],
            keys=self._heads[1],
            dim=self._dim,
            inner=inner,
            eps=self._norm.eps,
            head_eps=self._head_eps,
            scaling=self._attention.scaling,
        )

    @property
    def num_bytes(self) -> int:
        """Of its matrices."""
        return sum(one.num_bytes for one in (self._qkv, self._out, self._gate, self._down))

    def describe(self, row: LayerArguments) -> None:
        """Writes down where this layer's weights lie; the KV's place is left open."""
        query_norm, key_norm = self._rotate.weights
        row.norm, row.second_norm = _at(self._norm.weight), _at(self._second_norm.weight)
        row.qkv, row.qkv_bias = self._qkv.address, _at(self._qkv.bias)
        row.query_norm, row.key_norm = _at(query_norm), _at(key_norm)
        row.out, row.out_bias = self._out.address, _at(self._out.bias)
        row.gate, row.up = self._gate.addresses
        row.down, row.window = self._down.address, self._window or 0

    def _attend(self, qkv: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        self._rotate(qkv, cosine[0].contiguous(), sine[0].contiguous())
        heads = qkv.view(len(qkv), -1, self._dim).transpose(0, 1)
        queries, keys, _ = self._heads
        call = AttentionCall(
            layer=self._attention.layer_idx,
            query=heads[:queries],
            key=heads[queries : queries + keys],
            value=heads[queries + keys :],
            scaling=self._attention.scaling,
            window=self._window,
            softcap=None,
            sinks=None,
        )
        out: torch.Tensor = getattr(self._attention, HOOK_ATTRIBUTE)(call)
        return out.view(len(qkv), -1)


def _at(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
