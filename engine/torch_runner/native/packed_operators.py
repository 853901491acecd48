"""Linear layers with weights in panels on tensors: one kernel for any number of rows."""

from __future__ import annotations

from ctypes import addressof

import torch

from engine.torch_runner.native.library import NativeLibrary, Segment
from engine.torch_runner.native.packed_weight import PackedWeight


class PackedLinear:
    """x @ weight.T + bias. A row's result does not depend on how many rows there are."""

    def __init__(self, library: NativeLibrary, weight: PackedWeight, bias: torch.Tensor | None) -> None:
        """bias [n] bf16."""
        self._library = library
        self.weight = weight
        self.bias = bias
        bias_at = None if bias is None else bias.data_ptr()
        self._segment = Segment(weight.address, bias_at, None, None, weight.n, weight.n)

    @property
    def address(self) -> int:
        """Of the weight."""
        return self.weight.address

    @property
    def num_bytes(self) -> int:
        """Of the weight."""
        return self.weight.num_bytes

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """[..., n] for x [..., k]; `residual` is added after rounding, as the model does."""
        x, k = x.contiguous(), self.weight.k
        out = x.new_empty(*x.shape[:-1], self.weight.n)
        self._segment.out = out.data_ptr()
        self._segment.residual = None if residual is None else residual.data_ptr()
        threads = self._library.threads
        self._library.panels(x.data_ptr(), x.numel() // k, k, addressof(self._segment), threads)
        return out


class PackedGate:
    """silu(x @ gate.T) * (x @ up.T), both in the same panels."""

    def __init__(self, library: NativeLibrary, weight: PackedWeight) -> None:
        self._library = library
        self.weight = weight

    @property
    def addresses(self) -> tuple[int, None]:
        """Of both, which lie in one."""
        return self.weight.address, None

    @property
    def shape(self) -> tuple[int, int]:
        """[n, k] of each."""
        return self.weight.n, self.weight.k

    @property
    def num_bytes(self) -> int:
        """Of both."""
        return self.weight.num_bytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., n] for x [..., k]."""
        x, k = x.contiguous(), self.weight.k
        out = x.new_empty(*x.shape[:-1], self.weight.n)
        rows, library = x.numel() // k, self._library
        library.gated_panels(
            x.data_ptr(), rows, k, self.weight.address, out.data_ptr(), self.weight.n, library.threads
        )
        return out
