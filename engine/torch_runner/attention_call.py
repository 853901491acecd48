"""What one layer asks of attention, and the seam behind which it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """Packed tokens of one layer, rope applied, KV heads not repeated. N tokens in batch order."""

    layer: int
    query: torch.Tensor
    """[Hq, N, Dk]"""
    key: torch.Tensor
    """[Hkv, N, Dk]"""
    value: torch.Tensor
    """[Hkv, N, Dv]"""
    scaling: float
    window: int | None
    """A token sees this many positions, its own included; None is all."""
    softcap: float | None
    sinks: torch.Tensor | None
    """[Hq]: logits of a column that has no value."""


class LayerHook(Protocol):
    """Answers the attention of the modules it is hung on."""

    def __call__(self, call: AttentionCall) -> torch.Tensor:
        """[N, Hq, Dv]"""
        ...
