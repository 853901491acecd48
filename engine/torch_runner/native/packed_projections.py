"""Makes kernels over packed weights of linear modules, which lose their own until they are restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.operators import NativeGate, NativeLinear
from engine.torch_runner.native.packed_operators import PackedGate, PackedLinear
from engine.torch_runner.native.packed_weight import PackedWeight, packed, unpacked
from engine.torch_runner.native.projections import NativeProjections, joined_bias

MOST_ROWS = 4096
"""Of a step that is one native call: bounds its scratch memory."""


class PackedProjections:
    """Nothing is held twice, but for the weight of a head that is tied to the embedding."""

    most_rows = MOST_ROWS

    def __init__(self, library: NativeLibrary) -> None:
        """`library` must pack."""
        self._library = library
        self._plain = NativeProjections(library)
        self._taken: list[tuple[tuple[nn.Linear, ...], PackedWeight]] = []
        self.decode: Callable[..., Any] = library.decode_packed

    def linear(self, *parts: nn.Linear) -> PackedLinear | NativeLinear:
        """See Projections."""
        if parts[0].in_features % 2:
            return self._plain.linear(*parts)
        bias = joined_bias(*parts)
        joined = torch.cat([part.weight.detach() for part in parts])
        return PackedLinear(self._library, self._take(packed(self._library, joined), *parts), bias)

    def gate(self, gate: nn.Linear, up: nn.Linear) -> PackedGate | NativeGate:
        """See Projections."""
        if gate.in_features % 2:
            return self._plain.gate(gate, up)
        weight = packed(self._library, gate.weight.detach(), up.weight.detach())
        return PackedGate(self._library, self._take(weight, gate, up))

    def restore(self) -> None:
        """Gives all modules their weights back, to the last bit."""
        for parts, weight in self._taken:
            plain = torch.cat(unpacked(self._library, weight))
            for part, rows in zip(parts, plain.split([part.out_features for part in parts]), strict=True):
                part.weight = nn.Parameter(rows, requires_grad=False)
        self._taken.clear()

    def _take(self, weight: PackedWeight, *parts: nn.Linear) -> PackedWeight:
        for part in parts:
            part.weight = nn.Parameter(part.weight.new_empty(0), requires_grad=False)
        self._taken.append((parts, weight))
        return weight
