"""The forward pass of a step whose inputs are on the device already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from engine.torch_runner.attention import Attention
from engine.torch_runner.attention_hook import hang_hook
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.cuda.device_draw import best_tokens
from engine.torch_runner.cuda.slice_tables import SliceTables
from engine.torch_runner.cuda.step_inputs import StepInputs
from engine.torch_runner.kv_pool import TORCH_DTYPES, KvPool
from engine.torch_runner.model_load import LoadedModel
from engine.torch_runner.packed_batch import PackedBatch
from engine.torch_runner.paged_hook import PagedHook


class TableAttention(Attention, Protocol):
    """Attention that reads block tables on the device."""

    def bind(self, batch: PackedBatch, tables: SliceTables) -> None:
        """The tables of `batch`, until the next ones."""
        ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """Of each slice, in the step's order."""

    tokens: torch.Tensor
    """[S] the likeliest, in memory of this step's own."""
    logits: torch.Tensor
    """fp32 [S, vocabulary]."""


class DeviceForward:
    """A model over one KV pool."""

    def __init__(self, model: LoadedModel, pool: KvPool, attention: TableAttention) -> None:
        self._model = model
        self._layout = pool.layout
        self._attention = attention
        self._hook = PagedHook(pool, attention)
        hang_hook(model.network, self._hook)

    @torch.inference_mode()
    def run(self, inputs: StepInputs, tables: SliceTables) -> Drawn:
        """Asks for it; the device may not have begun when this returns."""
        batch = inputs.packed()
        self._attention.bind(batch, tables)
        self._hook.plan = AttentionPlan(batch, self._layout.block_size, TORCH_DTYPES[self._layout.dtype])
        try:
            logits = self._model.logits(batch.input_ids, batch.position_ids, batch.draw_rows)
        finally:
            self._hook.plan = None
        return Drawn(best_tokens(logits), logits)
