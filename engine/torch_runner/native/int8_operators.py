"""Linear layers with int8 weights on tensors: the counterparts of NativeLinear and NativeGate.

The rows of x become int8 for the product, with a scale for each GROUP of numbers; see linear_int8.h.
Unlike with bf16, an output does not depend on how many rows are computed together, to the last bit.
"""

from __future__ import annotations

from ctypes import addressof

import torch

from engine.torch_runner.native.int8_kernels import GatedOutput, Int8Kernels, Output, WeightArguments
from engine.torch_runner.native.int8_weight import GROUP, Int8Weight, interleaved, quantised
from engine.torch_runner.scratch import Scratch

PER_GROUP = GROUP + 8
"""Bytes of one group of a row of x: its numbers, a scale, and where its sums start."""


class Int8Linear:
    """x @ weight.T + bias, for any number of rows."""

    def __init__(
        self, kernels: Int8Kernels, weight: torch.Tensor, bias: torch.Tensor | None, scratch: Scratch
    ) -> None:
        """weight [n, k] and bias [n] in bf16; the weight is not kept. `scratch` may be shared."""
        self._kernels = kernels
        self._scratch = scratch
        self.bias = bias
        self.weight = quantised(weight, kernels.memory)
        self._arguments = arguments_of(self.weight)
        n = self.weight.n
        self._output = Output(None if bias is None else bias.data_ptr(), None, None, n, n)

    @property
    def address(self) -> int:
        """Of what the kernels take for a weight."""
        return addressof(self._arguments)

    @property
    def num_bytes(self) -> int:
        """Of the weight, scales included."""
        return self.weight.num_bytes

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """[..., n] for x [..., k], bf16; `residual` is added after rounding, as the model does."""
        x = x.contiguous()
        n, k = self.weight.n, self.weight.k
        out = x.new_empty(*x.shape[:-1], n)
        self._output.out = out.data_ptr()
        self._output.residual = None if residual is None else residual.data_ptr()
        rows = x.numel() // k
        self._kernels.linear(
            x.data_ptr(),
            k,
            rows,
            memory_for(rows, k, self._scratch),
            addressof(self._arguments),
            addressof(self._output),
            self._kernels.threads,
        )
        return out


class Int8Gate:
    """silu(x @ gate.T) * (x @ up.T), for any number of rows."""

    def __init__(self, kernels: Int8Kernels, gate: torch.Tensor, up: torch.Tensor, scratch: Scratch) -> None:
        """gate and up [n, k] in bf16, which are not kept."""
        self._kernels = kernels
        self._scratch = scratch
        self.weight = quantised(interleaved(gate, up), kernels.memory)
        self._arguments = arguments_of(self.weight)
        self._n = len(gate)
        self._output = GatedOutput(None, self._n)

    @property
    def addresses(self) -> tuple[int, None]:
        """Of what the kernels take for both weights, which lie in one."""
        return addressof(self._arguments), None

    @property
    def shape(self) -> tuple[int, int]:
        """[n, k] of each."""
        return self._n, self.weight.k

    @property
    def num_bytes(self) -> int:
        """Of the weights, scales included."""
        return self.weight.num_bytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., n] for x [..., k], bf16."""
        x = x.contiguous()
        k = self.weight.k
        out = x.new_empty(*x.shape[:-1], self._n)
        self._output.out = out.data_ptr()
        rows = x.numel() // k
        self._kernels.gated(
            x.data_ptr(),
            k,
            rows,
            memory_for(rows, k, self._scratch),
            addressof(self._arguments),
            addressof(self._output),
            self._kernels.threads,
        )
        return out


def arguments_of(weight: Int8Weight) -> WeightArguments:
    """Valid while `weight` is kept."""
    return WeightArguments(weight.items.data_ptr(), weight.scales.data_ptr(), weight.n, weight.k)


def memory_for(rows: int, k: int, scratch: Scratch) -> int:
    """Where the rows of x are put as int8; valid until the next call."""
    return scratch.take(rows, row_bytes(k), torch.uint8).data_ptr()


def row_bytes(k: int) -> int:
    """What a row of x takes as int8."""
    return -(-k // GROUP) * PER_GROUP
