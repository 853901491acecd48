"""int8 weights: how far they are off, and that the kernels multiply by exactly them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear, pad, silu

from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.int8_kernels import Int8Kernels
from engine.torch_runner.native.int8_operators import Int8Gate, Int8Linear
from engine.torch_runner.native.int8_weight import GROUP, interleaved, quantised, restored
from engine.torch_runner.scratch import Scratch
from protocol.errors import EngineFailed

ROWS = st.sampled_from([1, 2, 5, 6, 7, 13, 32, 95, 97, 200])
SIZES = st.integers(1, 150)
LONG = st.sampled_from([1, 3, 31, 64, 127, 128, 129, 1000, 1100])
MOST_ROWS = 200


@pytest.fixture(scope="module")
def kernels() -> Int8Kernels | None:
    """None on a CPU that lacks the instructions, where there is nothing to prove."""
    try:
        return Int8Kernels(built_library(), 1)
    except EngineFailed as error:
        assert "avx512_vnni" in error.message
        return None


def _randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def _as_int8(x: torch.Tensor) -> torch.Tensor:
    """The numbers that the kernels take x for: each group of a row rounded to 255 steps."""
    k = x.shape[-1]
    grouped = pad(x.double(), (0, -k % GROUP)).view(len(x), -1, GROUP)
    scale = grouped.abs().amax(-1, keepdim=True) / 127
    rounded = torch.round(grouped / torch.where(scale > 0, scale, 1.0)) * scale
    return rounded.view(len(x), -1)[:, :k]


def _close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours.double(), expected, rtol=0.01, atol=0.01 * expected.abs().max().item())


@settings(max_examples=40, deadline=None)
@given(SIZES, LONG)
def test_a_weight_is_off_by_half_a_step_at_most(n: int, k: int) -> None:
    """Each group's step is its largest number over 127; that number itself is kept."""
    weight = _randn(1, n, k)
    packed = quantised(weight)
    back = restored(packed)
    steps = pad(weight.float(), (0, -k % GROUP)).view(n, -1, GROUP).abs().amax(-1) / 127
    error = pad((back - weight.float()).abs(), (0, -k % GROUP)).view(n, -1, GROUP).amax(-1)
    assert bool((error <= 0.501 * steps).all())
    assert packed.num_bytes <= 1.04 * packed.items.numel()


def test_zeros_stay_zeros() -> None:
    """A group without any number has no scale, and divides by nothing."""
    assert bool((restored(quantised(torch.zeros(70, 200))) == 0).all())


@settings(max_examples=60, deadline=None)
@given(ROWS, SIZES, LONG, st.booleans(), st.booleans(), st.integers(1, 3))
def test_linear_multiplies_by_the_quantised_weight(
    kernels: Int8Kernels | None, rows: int, n: int, k: int, biased: bool, residual: bool, threads: int
) -> None:
    """For any sizes, with and without bias and residual."""
    if kernels is None:
        return
    kernels.threads = threads
    x, weight, bias, added = _randn(1, rows, k), _randn(2, n, k), _randn(3, n), _randn(4, rows, n)
    ours = Int8Linear(kernels, weight, bias if biased else None, Scratch())
    expected = linear(_as_int8(x), restored(ours.weight).double(), bias.double() if biased else None)
    _close(ours(x, added if residual else None), expected + added.double() if residual else expected)


@settings(max_examples=40, deadline=None)
@given(ROWS, SIZES, LONG, st.integers(1, 3))
def test_gate_multiplies_by_the_quantised_weight(
    kernels: Int8Kernels | None, rows: int, n: int, k: int, threads: int
) -> None:
    """silu(gate) * up, for any sizes."""
    if kernels is None:
        return
    kernels.threads = threads
    x, gate, up = _randn(1, rows, k) / k**0.5, _randn(2, n, k), _randn(3, n, k)
    first, second = (linear(_as_int8(x), restored(quantised(part)).double()) for part in (gate, up))
    _close(Int8Gate(kernels, gate, up, Scratch())(x), silu(first) * second)


def test_a_gated_pair_is_laid_side_by_side() -> None:
    """Each panel holds as many rows of the gate as of what it gates, padded with zeros."""
    both = interleaved(torch.ones(40, 3), torch.full((40, 3), 2.0))
    assert both[:, 0].tolist() == [1.0] * 32 + [2.0] * 32 + [1.0] * 8 + [0.0] * 24 + [2.0] * 8 + [0.0] * 24


@settings(max_examples=20, deadline=None)
@given(st.integers(1, MOST_ROWS), st.integers(0, MOST_ROWS - 1), st.integers(1, 3))
def test_an_output_does_not_depend_on_its_neighbours(
    kernels: Int8Kernels | None, count: int, first: int, threads: int
) -> None:
    """Any rows computed together give to the last bit what they give among others, on any threads."""
    if kernels is None:
        return
    x, weight = _randn(1, MOST_ROWS, 300), _randn(2, 70, 300)
    ours = Int8Linear(kernels, weight, None, Scratch())
    kernels.threads = 1
    every = ours(x)
    kernels.threads = threads
    assert torch.equal(ours(x[first : first + count]), every[first : first + count])


def test_the_error_is_small_for_many_numbers(kernels: Int8Kernels | None) -> None:
    """Both roundings together cost about one percent of normally distributed products."""
    if kernels is None:
        return
    x, weight = _randn(1, 64, 1024), _randn(2, 256, 1024)
    expected = linear(x.double(), weight.double())
    error = Int8Linear(kernels, weight, None, Scratch())(x).double() - expected
    assert (error.norm() / expected.norm()).item() < 0.012


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_stays_none(kernels: Int8Kernels | None, bad: float) -> None:
    """Its whole row is NaN, and no other row is touched."""
    if kernels is None:
        return
    kernels.threads = 1
    x, weight = _randn(1, 3, 200), _randn(2, 70, 200)
    x[1, 150] = bad
    out = Int8Linear(kernels, weight, None, Scratch())(x)
    assert bool(out[1].isnan().all())
    assert bool(out[[0, 2]].isfinite().all())
