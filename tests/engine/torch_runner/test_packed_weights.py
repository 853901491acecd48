"""Packed weights: products equal the formula for any sizes, rows do not depend on each other's number,
and every weight can be had back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import linear, silu

from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.operators import NativeGate, NativeLinear
from engine.torch_runner.native.packed_projections import PackedProjections
from engine.torch_runner.native.projections import NativeProjections, Projections

ROWS = st.integers(1, 70)
SIZES = st.integers(1, 200)
DEPTHS = st.sampled_from([2, 30, 32, 126, 128, 130, 1000, 1024])


def projections(threads: int = 1) -> Projections:
    """Packed ones, or those that take their place on a machine without AVX512-BF16."""
    library = NativeLibrary(built_library(), threads)
    return PackedProjections(library) if library.packs else NativeProjections(library)


def _randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def _module(seed: int, n: int, k: int, biased: bool = False) -> nn.Linear:
    module = nn.Linear(k, n, biased).requires_grad_(False).bfloat16()
    module.weight.copy_(_randn(seed, n, k))
    return module


def _close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    scale = expected.abs().max().item()
    torch.testing.assert_close(ours.double(), expected, rtol=0.01, atol=0.01 * scale)


@settings(max_examples=60, deadline=None)
@given(ROWS, SIZES, SIZES, DEPTHS, st.booleans(), st.booleans(), st.integers(1, 3))
def test_several_linears_at_once_equal_the_formula(
    rows: int, first: int, second: int, k: int, biased: bool, residual: bool, threads: int
) -> None:
    """With and without bias and residual, panels full or not; outputs lie one after another."""
    parts = (_module(1, first, k, biased), _module(2, second, k))
    x, added = _randn(3, rows, k), _randn(4, rows, first + second)
    expected = torch.cat([linear(x.double(), p.weight.double(), _double(p.bias)) for p in parts], 1)
    ours = projections(threads).linear(*parts)(x, added if residual else None)
    _close(ours, expected + added.double() if residual else expected)


def _double(bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else bias.double()


@settings(max_examples=40, deadline=None)
@given(ROWS, SIZES, DEPTHS, st.integers(1, 3))
def test_gate_equals_the_formula(rows: int, n: int, k: int, threads: int) -> None:
    """silu(gate) * up, for any sizes."""
    gate, up, x = _module(1, n, k), _module(2, n, k), _randn(3, rows, k) / k**0.5
    expected = silu(linear(x.double(), gate.weight.double())) * linear(x.double(), up.weight.double())
    _close(projections(threads).gate(gate, up)(x), expected)


@settings(max_examples=20, deadline=None)
@given(SIZES, DEPTHS, st.integers(1, 3))
def test_a_row_is_the_same_alone_and_in_company(n: int, k: int, threads: int) -> None:
    """To the last bit, whatever the batch."""
    made = projections(threads).linear(_module(1, n, k))
    if isinstance(made, NativeLinear):
        return
    x = _randn(2, 61, k)
    together = made(x)
    for row in (0, 7, 60):
        assert torch.equal(made(x[row : row + 1]), together[row : row + 1])


@settings(max_examples=30, deadline=None)
@given(SIZES, SIZES, st.sampled_from([1, 2, 31, 64, 130]))
def test_weights_come_back_as_they_were(first: int, second: int, k: int) -> None:
    """Those of linears and of gates, also where the width is odd and nothing is packed."""
    parts = (_module(1, first, k), _module(2, second, k), _module(3, first, k), _module(4, first, k))
    before = [part.weight.clone() for part in parts]
    made = projections()
    made.linear(*parts[:2])
    made.gate(*parts[2:])
    if isinstance(made, PackedProjections):
        made.restore()
    assert all(torch.equal(part.weight, weight) for part, weight in zip(parts, before, strict=True))


@pytest.mark.parametrize("k", [3, 31])
def test_an_odd_width_is_not_packed(k: int) -> None:
    """It has kernels of its own, which give the same."""
    made = projections()
    module, x = _module(1, 70, k), _randn(2, 5, k)
    expected = linear(x.double(), module.weight.double())
    ours = made.linear(module)
    assert isinstance(ours, NativeLinear)
    assert isinstance(made.gate(_module(2, 9, k), _module(3, 9, k)), NativeGate)
    _close(ours(x), expected)
