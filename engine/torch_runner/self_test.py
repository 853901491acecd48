"""The start-up self-test: paged attention against the model's own eager attention."""

from __future__ import annotations

import torch

from engine.arena import Arena
from engine.step import Slice, Step
from engine.torch_runner.attention import Attention
from engine.torch_runner.attention_hook import HOOK_NAME
from engine.torch_runner.cuda.device_arena import allocate_device_arena
from engine.torch_runner.forward import PagedForward
from engine.torch_runner.kv_layout import KvLayout
from engine.torch_runner.kv_pool import allocate_arena, pool_over
from engine.torch_runner.model_load import LoadedModel
from protocol.errors import UnsupportedModel
from protocol.ids import AttemptKey, RequestId

TOKENS = 64
CHUNKS = (37, 25, 1, 1)
TYPICAL_ERROR = {"float32": 1e-4, "bfloat16": 0.15}
WORST_ERROR = {"float32": 1e-3, "bfloat16": 1.5}
"""Relative (L2) error of a position's logits: median, and worst. A bf16 model with experts may pick
another expert at a near-tie, which changes single positions much and the median little."""


def eager_logits(model: LoadedModel) -> torch.Tensor:
    """[T, vocabulary]: the model's own answer, taken before anything in it is replaced."""
    tokens = _tokens(model)
    model.network.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            every = torch.arange(len(tokens))
            return model.logits(torch.tensor([tokens]), every[None], every)
    finally:
        model.network.set_attn_implementation(HOOK_NAME)


def self_test(model: LoadedModel, layout: KvLayout, attention: Attention, expected: torch.Tensor) -> None:
    """Two chunks and two single tokens over scattered blocks. Raises UnsupportedModel if the logits
    are not the `expected` ones of one eager pass."""
    error = _relative_error(_paged(model, layout, attention, _tokens(model)), expected)
    typical, worst = error.median().item(), error.max().item()
    if not (typical <= TYPICAL_ERROR[layout.computed] and worst <= WORST_ERROR[layout.computed]):
        kind = model.network.config.model_type
        raise UnsupportedModel(
            f"this {kind} model gives other logits with paged attention than with its own "
            f"(relative error {typical:.1e} typical, {worst:.1e} at worst)"
        )


def _tokens(model: LoadedModel) -> list[int]:
    count = min(TOKENS, model.facts.max_context)
    return [(7919 * at + 17) % model.facts.vocabulary for at in range(count)]


def _relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    error: torch.Tensor = torch.linalg.vector_norm(ours - theirs, dim=-1)
    scale: torch.Tensor = torch.linalg.vector_norm(theirs, dim=-1)
    return error / scale.clamp_min(1e-30)


def _paged(model: LoadedModel, layout: KvLayout, attention: Attention, tokens: list[int]) -> torch.Tensor:
    blocks = -(-len(tokens) // layout.block_size)
    pool = pool_over(_arena(model, blocks + 1, layout.block_bytes), layout)
    forward = PagedForward(model, pool, attention)
    table = tuple(reversed(range(1, blocks + 1)))
    key = AttemptKey(RequestId("self-test"), 0)
    parts, start = [], 0
    for size in CHUNKS:
        part = tokens[start : start + size]
        if part:
            step = Step((Slice(key, part, start, table, None),))
            parts.append(forward.run(step, torch.arange(len(part))))
            start += len(part)
    return torch.cat(parts)


def _arena(model: LoadedModel, num_blocks: int, block_bytes: int) -> Arena:
    """Beside the weights."""
    if model.device.type == "cpu":
        return allocate_arena(num_blocks, block_bytes)
    return allocate_device_arena(num_blocks, block_bytes, model.device)
