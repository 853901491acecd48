"""One forward pass over a step."""

from __future__ import annotations

import torch

from engine.step import Step
from engine.torch_runner.attention import Attention
from engine.torch_runner.attention_hook import hang_hook
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.kv_pool import TORCH_DTYPES, KvPool
from engine.torch_runner.model_load import LoadedModel
from engine.torch_runner.packed_batch import pack
from engine.torch_runner.paged_hook import PagedHook


class PagedForward:
    """A model over one KV pool: writes the KV of a step and returns logits."""

    def __init__(self, model: LoadedModel, pool: KvPool, attention: Attention) -> None:
        self._model = model
        self._layout = pool.layout
        self._hook = PagedHook(pool, attention)
        hang_hook(model.network, self._hook)

    @torch.inference_mode()
    def run(self, step: Step, rows: torch.Tensor | None = None) -> torch.Tensor:
        """fp32 logits [R, vocabulary] after the packed rows `rows` [R]; by default after the last
        token of each slice that draws."""
        batch = pack(step, self._layout.block_size)
        self._hook.plan = AttentionPlan(batch, self._layout.block_size, TORCH_DTYPES[self._layout.computed])
        try:
            wanted = batch.draw_rows if rows is None else rows
            return self._model.logits(batch.input_ids, batch.position_ids, wanted)
        finally:
            self._hook.plan = None
