"""What is hung on every layer of a served model: write K and V to their slots, then attend."""

from __future__ import annotations

import torch

from engine.torch_runner.attention import Attention
from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_plan import AttentionPlan
from engine.torch_runner.kv_pool import KvPool
from protocol.errors import EngineFailed


class PagedHook:
    """The context of all layers of one model; `plan` is the step being computed."""

    def __init__(self, pool: KvPool, attention: Attention) -> None:
        self.plan: AttentionPlan | None = None
        self.pool = pool
        self.attention = attention

    def __call__(self, call: AttentionCall) -> torch.Tensor:
        """[N, Hq, Dv]. Raises EngineFailed outside a step."""
        if self.plan is None:
            raise EngineFailed("the model was called outside a step")
        layer = self.pool.layers[call.layer]
        self.attention.write(call, layer, self.plan.batch)
        return self.attention.attend(call, layer, self.plan)
