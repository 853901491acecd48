"""A whole decoder layer of the Llama family with int8 weights: FusedLayer's counterpart."""

from __future__ import annotations

from typing import Any

import torch

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_hook import HOOK_ATTRIBUTE
from engine.torch_runner.native.int8_projections import Int8Projections
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.operators import NativeNorm, NativeRotation


class QuantisedLayer:
    """Takes the place of a decoder layer's forward; the layer's linear modules lose their weights."""

    def __init__(
        self, layer: Any, library: NativeLibrary, projections: Int8Projections, window: int | None
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
        self._norm, self._second_norm = (
            NativeNorm(library, norm.weight, norm.variance_epsilon)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        )
        self._qkv = projections.linear(*parts)
        self._out = projections.linear(attention.o_proj)
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
    def num_bytes(self) -> int:
        """Bytes of the int8 weights."""
        return sum(one.num_bytes for one in (self._qkv, self._out, self._gate, self._down))

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
