"""Makes int8 kernels of linear modules, which lose their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from engine.torch_runner.native.int8_kernels import Int8Kernels
from engine.torch_runner.native.int8_operators import Int8Gate, Int8Linear
from engine.torch_runner.native.projections import joined_bias
from engine.torch_runner.scratch import Scratch


class Int8Projections:
    """What a module computed alone, it no longer can. An embedding that is tied to one keeps the memory,
    and looks up in it."""

    most_rows = 4096
    """Of a step that is one native call: bounds its scratch memory."""

    def __init__(self, kernels: Int8Kernels) -> None:
        self._kernels = kernels
        self._scratch = Scratch()
        self.decode: Callable[..., Any] = kernels.decode

    def linear(self, *parts: nn.Linear) -> Int8Linear:
        """One kernel for modules that take the same input; their outputs lie one after another."""
        bias = joined_bias(*parts)
        weight = torch.cat([part.weight.detach() for part in parts])
        made = Int8Linear(self._kernels, weight, bias, self._scratch)
        _drop_weights(*parts)
        return made

    def gate(self, gate: nn.Linear, up: nn.Linear) -> Int8Gate:
        """One kernel for both, which have no bias."""
        made = Int8Gate(self._kernels, gate.weight, up.weight, self._scratch)
        _drop_weights(gate, up)
        return made


def _drop_weights(*parts: nn.Linear) -> None:
    for part in parts:
        part.weight = nn.Parameter(torch.empty(0, dtype=torch.uint8), requires_grad=False)
