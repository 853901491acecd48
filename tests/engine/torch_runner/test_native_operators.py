"""Native operators equal torch's formulas, and replace a module only where they equal the module."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import linear, rms_norm, silu

from engine.torch_runner.attention import TorchAttention
from engine.torch_runner.gate import gate
from engine.torch_runner.layer_probe import probe_layers
from engine.torch_runner.model_folder import open_folder
from engine.torch_runner.model_load import LoadedModel, load_model
from engine.torch_runner.native import operators
from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.fused_layer import FusedLayer
from engine.torch_runner.native.fusion import fuse
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.operators import NativeGate, NativeLinear, NativeNorm, NativeRotation
from engine.torch_runner.self_test import eager_logits
from tests.engine.tiny_models import KINDS
from tests.engine.torch_runner.conftest import FolderOf

ROWS = st.integers(1, 40)
SIZES = st.integers(1, 150)
LONG = st.sampled_from([1, 31, 32, 33, 1000, 1024, 1100, 2080])


def native(threads: int = 1) -> NativeLibrary:
    """The kernels of this machine. Without AVX512-BF16 the linear ones fall back to torch."""
    return NativeLibrary(built_library(), threads)


def _randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def _close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    scale = expected.abs().max().item()
    torch.testing.assert_close(ours.double(), expected, rtol=0.01, atol=0.01 * scale)


@settings(max_examples=60, deadline=None)
@given(ROWS, SIZES, LONG, st.booleans(), st.booleans(), st.integers(1, 3))
def test_linear_equals_the_formula(
    rows: int, n: int, k: int, biased: bool, residual: bool, threads: int
) -> None:
    """For any sizes, with and without bias and residual; memory around the output stays as it was."""
    x, weight, bias, added = _randn(1, rows, k), _randn(2, n, k), _randn(3, n), _randn(4, rows, n)
    ours = NativeLinear(native(threads), weight, bias if biased else None)
    expected = linear(x.double(), weight.double(), bias.double() if biased else None)
    _close(ours(x, added if residual else None), expected + added.double() if residual else expected)


@settings(max_examples=40, deadline=None)
@given(ROWS, SIZES, LONG, st.integers(1, 3))
def test_gate_equals_the_formula(rows: int, n: int, k: int, threads: int) -> None:
    """silu(gate) * up, for any sizes."""
    x, weight = _randn(1, rows, k) / k**0.5, _randn(2, 2 * n, k)
    first, second = linear(x.double(), weight.double()).chunk(2, dim=-1)
    _close(NativeGate(native(threads), weight)(x), silu(first) * second)


@settings(max_examples=30, deadline=None)
@given(ROWS, SIZES, st.sampled_from([torch.float32, torch.bfloat16]))
def test_norm_equals_the_formula(rows: int, n: int, dtype: torch.dtype) -> None:
    """RMS norm in both dtypes."""
    x, weight = _randn(1, rows, n).to(dtype), _randn(2, n).to(dtype)
    expected = rms_norm(x.double(), (n,), weight.double(), 1e-6)
    _close(NativeNorm(native(), weight, 1e-6)(x), expected)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.integers(1, 3), st.integers(1, 3), st.sampled_from([2, 6, 32, 64, 72]), st.booleans())
def test_rotation_equals_the_formula(rows: int, queries: int, keys: int, dim: int, normed: bool) -> None:
    """Norm and rotary positions on the first heads of a row; the rest of the row stays as it was."""
    x = _randn(1, rows, (queries + 2 * keys) * dim)
    angles = torch.rand(rows, dim, generator=torch.Generator().manual_seed(2))
    cosine, sine = angles.cos().bfloat16(), angles.sin().bfloat16()
    weights = tuple(_randn(seed, dim) if normed else None for seed in (3, 4))
    ours = x.clone()
    NativeRotation(native(), (queries, keys), weights, dim, 1e-6)(ours, cosine, sine)
    heads = x.double().view(rows, -1, dim)
    parts = list(heads.split([queries, keys, keys], dim=1))
    for index, weight in enumerate(weights):
        part = parts[index]
        if weight is not None:
            part = rms_norm(part, (dim,), weight.double(), 1e-6)
        low, high = part.chunk(2, dim=-1)
        parts[index] = part * cosine.double()[:, None] + torch.cat((-high, low), -1) * sine.double()[:, None]
    _close(ours, torch.cat(parts, dim=1).view(rows, -1))
    assert torch.equal(ours[:, (queries + keys) * dim :], x[:, (queries + keys) * dim :])


def _loaded(folder_of: FolderOf, kind: str) -> LoadedModel:
    return load_model(open_folder(folder_of(kind)), "bfloat16")


@pytest.mark.parametrize("kind", KINDS)
def test_a_fused_model_is_gated_and_can_be_undone(
    kind: str, folder_of: FolderOf, caplog: pytest.LogCaptureFixture
) -> None:
    """Every kind has parts that the kernels take over, passes the gate with them, and gives its own
    logits to the last bit once they are taken away."""
    model = _loaded(folder_of, kind)
    before = eager_logits(model)
    shapes = probe_layers(model)
    fused = fuse(model, native())
    assert len(fused) > 0
    assert probe_layers(model) == shapes
    fused.undo()
    assert torch.equal(eager_logits(model), before)
    with caplog.at_level(logging.WARNING):
        gate(model, 16, "bfloat16", TorchAttention(), native())
    assert caplog.records == []


def test_layers_of_the_llama_family_are_replaced_whole(folder_of: FolderOf) -> None:
    """Where the CPU has the instruction, one object computes the layer."""
    library = native()
    model = _loaded(folder_of, "qwen3")
    fuse(model, library)
    replaced = [type(layer.__dict__.get("forward")) for layer in model.network.model.layers]
    assert replaced == [FusedLayer if library.linear_rows else type(None)] * model.facts.layers


def test_a_norm_of_another_formula_is_left_alone(folder_of: FolderOf) -> None:
    """Gemma multiplies by one plus the weight, which the kernel does not."""
    model = _loaded(folder_of, "gemma2")
    fuse(model, native())
    assert "forward" not in model.network.model.norm.__dict__


def test_a_wrong_fusion_is_taken_back(
    folder_of: FolderOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The self-test notices a kernel that computes something else; the model runs on its own modules."""
    library = native()
    model = _loaded(folder_of, "qwen3")
    monkeypatch.setattr(operators.NativeNorm, "__call__", lambda self, x: -x)
    monkeypatch.setattr("engine.torch_runner.native.fusion._agrees", lambda *_: True)
    with caplog.at_level(logging.WARNING):
        gate(model, 16, "bfloat16", TorchAttention(), library)
    assert "without fused kernels" in caplog.text
    assert not any("forward" in module.__dict__ for module in model.network.modules())
