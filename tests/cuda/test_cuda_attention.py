"""The Triton kernels, compiled."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.torch_runner.cuda import triton_attention
from engine.torch_runner.cuda.triton_attention import TritonAttention
from tests.engine.torch_runner.test_paged_attention import LARGE, SMALL, Case, check_against_the_formula

DTYPES = ["float32", "bfloat16"]


def attention() -> TritonAttention:
    """For this device."""
    return TritonAttention(torch.cuda.get_device_properties(0).multi_processor_count)


@settings(max_examples=40, deadline=None)
@given(SMALL | LARGE, st.sampled_from(DTYPES))
def test_compiled_attention_equals_the_plain_formula(case: Case, dtype: str) -> None:
    """Chunks and single tokens, windows, softcap, sinks, shared heads, odd head sizes; fp32, and bf16
    within its rounding."""
    check_against_the_formula(case, attention(), dtype, "cuda")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [None, 700])
def test_compiled_splits_add_up(dtype: str, window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single tokens over long contexts, cut into parts."""
    monkeypatch.setattr(triton_attention, "SPLIT_TOKENS", 32)
    spans = ((1500, 1), (3, 1), (700, 1))
    check_against_the_formula(
        Case(spans, 2, 4, 128, 128, window, None, True, seed=3), attention(), dtype, "cuda"
    )


@pytest.mark.parametrize("dim", [64, 80, 128, 192, 256, 512])
def test_every_head_size_fits_into_the_device(dim: int) -> None:
    """The tiles of large heads still fit into shared memory, in chunks and in decode steps."""
    case = Case(((300, 1), (0, 200), (100, 60)), 2, 4, dim, dim, None, None, False, seed=6)
    for dtype in DTYPES:
        check_against_the_formula(case, attention(), dtype, "cuda")
