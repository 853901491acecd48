"""The kernels on tensors: contiguous rows in, fresh rows out."""

from __future__ import annotations

from ctypes import addressof

import torch
from torch.nn.functional import linear

from engine.torch_runner.native.library import Heads, NativeLibrary, Segment


class NativeLinear:
    """x @ weight.T + bias. Few rows go to the dot-product kernel, many to the matmul library."""

    def __init__(self, library: NativeLibrary, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """weight [n, k] bf16, contiguous; bias [n]."""
        self._library = library
        self.weight = weight
        self.bias = bias
        self._n, self._k = weight.shape
        bias_at = None if bias is None else bias.data_ptr()
        self._segment = Segment(weight.data_ptr(), bias_at, None, None, self._n, self._n)
        self._at = addressof(self._segment)

    @property
    def address(self) -> int:
        """Of the weight."""
        return self.weight.data_ptr()

    @property
    def num_bytes(self) -> int:
        """Of the weight."""
        return self.weight.numel() * self.weight.element_size()

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """[..., n] for x [..., k]; `residual` is added after rounding, as the model does."""
        rows = x.numel() // self._k
        if not 0 < rows <= self._library.linear_rows:
            out = linear(x, self.weight, self.bias)
            return out if residual is None else out.add_(residual)
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], self._n)
        self._segment.out = out.data_ptr()
        self._segment.residual = None if residual is None else residual.data_ptr()
        library = self._library
        library.linear(x.data_ptr(), self._k, rows, self._k, self._at, 1, library.threads)
        return out


class NativeGate:
    """silu(x @ gate.T) * (x @ up.T)"""

    def __init__(self, library: NativeLibrary, weight: torch.Tensor) -> None:
        """weight [2n, k] bf16, contiguous: gate, then up."""
        self._library = library
        self._gate, self._up = weight.chunk(2)
        self._n, self._k = self._gate.shape

    @property
    def addresses(self) -> tuple[int, int]:
        """Of gate and up."""
        return self._gate.data_ptr(), self._up.data_ptr()

    @property
    def shape(self) -> tuple[int, int]:
        """[n, k] of each."""
        return self._n, self._k

    @property
    def num_bytes(self) -> int:
        """Of both."""
        return 2 * self._gate.numel() * self._gate.element_size()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., n] for x [..., k]."""
        library = self._library
        rows = x.numel() // self._k
        if not 0 < rows <= library.linear_rows:
            out, up = linear(x, self._gate), linear(x, self._up)
            library.gate(out.data_ptr(), up.data_ptr(), out.numel(), library.threads)
            return out
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], self._n)
        gate, up_at = self.addresses
        library.gated(
            x.data_ptr(), self._k, rows, self._k, gate, up_at, out.data_ptr(), self._n, library.threads
        )
        return out


class NativeNorm:
    """RMS norm: weight * x / sqrt(mean(x^2) + eps), rounded where Llama rounds."""

    def __init__(self, library: NativeLibrary, weight: torch.Tensor, eps: float) -> None:
        """weight [n], fp32 or bf16."""
        self._library = library
        self._norm = library.norm[weight.dtype]
        self.weight = weight
        self.eps = eps
        self._at = weight.data_ptr()
        self._n = weight.numel()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Like x [..., n]."""
        x = x.to(self.weight.dtype).contiguous()
        out = torch.empty_like(x)
        rows = x.numel() // self._n
        self._norm(x.data_ptr(), self._at, out.data_ptr(), rows, self._n, self.eps, self._library.threads)
        return out


class NativeRotation:
    """Norms (where there is one) and rotary positions for the heads of one layer, in place."""

    def __init__(
        self,
        library: NativeLibrary,
        heads: tuple[int, ...],
        weights: tuple[torch.Tensor | None, ...],
        dim: int,
        eps: float,
    ) -> None:
        """Runs of `heads` lie one after another in a row; weights [dim] bf16 norm each run's heads."""
        self._library = library
        self._heads = heads
        self.weights = weights
        self._parts = (Heads * len(heads))()
        self._dim = dim
        self._eps = eps
        for part, count, weight in zip(self._parts, heads, weights, strict=True):
            part.heads = count
            part.weight = None if weight is None else weight.data_ptr()

    def __call__(self, rows: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> None:
        """rows [N, >= sum of heads * dim] bf16, cosine and sine [N, dim], all contiguous."""
        at, step = rows.data_ptr(), rows.shape[1]
        for part in self._parts:
            part.x, part.token_step = at, step
            at += part.heads * self._dim * rows.element_size()
        self._library.rotate(
            addressof(self._parts),
            len(self._parts),
            cosine.data_ptr(),
            sine.data_ptr(),
            len(rows),
            self._dim,
            self._eps,
            self._library.threads,
        )
