"""How the linear layers of a model are computed: with the weights as they are, or otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.operators import NativeGate, NativeLinear


class Linear(Protocol):
    """x @ weight.T + bias + residual."""

    bias: torch.Tensor | None

    @property
    def address(self) -> int:
        """Where the weight is, for `decode`."""
        ...

    @property
    def num_bytes(self) -> int:
        """Of the weight."""
        ...

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """[..., n] for x [..., k]; `residual` is added after rounding, as the model does."""
        ...


class Gate(Protocol):
    """silu(x @ gate.T) * (x @ up.T)."""

    @property
    def addresses(self) -> tuple[int, int | None]:
        """Where gate and up are, for `decode`."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """[n, k] of each."""
        ...

    @property
    def num_bytes(self) -> int:
        """Of both weights."""
        ...

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., n] for x [..., k]."""
        ...


class Projections(Protocol):
    """Makes kernels of linear modules with bf16 weights."""

    decode: Callable[..., Any]
    """The native call that runs all layers made of these: baton_decode, or its like."""

    @property
    def most_rows(self) -> int:
        """Of a step that `decode` takes."""
        ...

    def linear(self, *parts: nn.Linear) -> Linear:
        """One kernel for modules that take the same input; their outputs lie one after another."""
        ...

    def gate(self, gate: nn.Linear, up: nn.Linear) -> Gate:
        """One kernel for both, which have no bias."""
        ...


class NativeProjections:
    """Weights stay as they are; modules keep theirs, or views of what became one."""

    def __init__(self, library: NativeLibrary) -> None:
        """`library` must have the linear kernels."""
        self._library = library
        self.decode: Callable[..., Any] = library.decode
        self.most_rows = library.linear_rows

    def linear(self, *parts: nn.Linear) -> NativeLinear:
        """See Projections."""
        weight = parts[0].weight if len(parts) == 1 else joined_weight(*parts)
        return NativeLinear(self._library, weight, joined_bias(*parts))

    def gate(self, gate: nn.Linear, up: nn.Linear) -> NativeGate:
        """See Projections."""
        return NativeGate(self._library, joined_weight(gate, up))


def joined_weight(*parts: nn.Linear) -> torch.Tensor:
    """[sum of n, k]: one memory for all, of which each part's own weight becomes a view."""
    joined = torch.cat([part.weight.detach() for part in parts])
    for part, rows in zip(parts, joined.split([part.out_features for part in parts]), strict=True):
        part.weight = nn.Parameter(rows, requires_grad=False)
    return joined


def joined_bias(*parts: nn.Linear) -> torch.Tensor | None:
    """[sum of n], or None where nobody has one; who has none beside one that has gets zeros."""
    if all(part.bias is None for part in parts):
        return None
    biases = [
        part.weight.new_zeros(part.out_features) if part.bias is None else part.bias.detach()
        for part in parts
    ]
    return biases[0] if len(biases) == 1 else torch.cat(biases)
