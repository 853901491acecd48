"""The Triton kernels in Triton's interpreter. Run by test_triton_kernels.py in a process of its own.

fp32 only: the interpreter multiplies the bits of bf16 numbers as integers.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.cuda import triton_attention
from engine.torch_runner.cuda.triton_attention import TritonAttention, split_count
from engine.torch_runner.kv_layout import KvLayout, LayerShape
from engine.torch_runner.kv_pool import allocate_arena, pool_over
from engine.torch_runner.packed_batch import PackedBatch
from tests.engine.torch_runner.test_paged_attention import LARGE, SMALL, Case, check_against_the_formula

UNITS = 132


def attention() -> TritonAttention:
    """As on a device with many multiprocessors."""
    return TritonAttention(UNITS)


@settings(max_examples=40, deadline=None)
@given(SMALL)
def test_triton_attention_equals_the_plain_formula(case: Case) -> None:
    """Any mixture of chunks and single tokens at any start, with or without window, softcap, sinks
    and shared heads, over scattered blocks, never sees a slot that was not written."""
    check_against_the_formula(case, attention())


@settings(max_examples=8, deadline=None)
@given(LARGE)
def test_long_triton_attention_equals_the_plain_formula(case: Case) -> None:
    """So it does over many tiles, with heads of odd sizes."""
    check_against_the_formula(case, attention())


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=3), st.none() | st.integers(1, 700), st.booleans())
def test_split_contexts_add_up(starts: list[int], window: int | None, sinks: bool) -> None:
    """Single tokens whose contexts are cut into parts, some of them empty, give the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_attention, "SPLIT_TOKENS", 8)
        spans = tuple((start, 1) for start in starts)
        check_against_the_formula(Case(spans, 2, 3, 24, 12, window, None, sinks, seed=5), attention())


def test_small_tiles_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks cut into several tiles of queries, each over several tiles of keys."""
    monkeypatch.setattr(triton_attention, "CHUNK_ROWS", 16)
    monkeypatch.setattr(triton_attention, "TILE_BYTES", 1024)
    spans = ((0, 50), (33, 20), (40, 1), (0, 1))
    for window, softcap, sinks in ((None, None, False), (17, 2.0, True)):
        check_against_the_formula(Case(spans, 2, 3, 12, 20, window, softcap, sinks, seed=4), attention())


def test_bf16_is_stored_as_it_is() -> None:
    """The store kernel copies bf16 K and V without touching other slots; a token without a block has none."""
    layout = KvLayout((LayerShape(2, 6, 10),), 4, "bfloat16")
    pool = pool_over(allocate_arena(5, layout.block_bytes), layout)
    key, value = torch.randn(2, 3, 6).bfloat16(), torch.randn(2, 3, 10).bfloat16()
    blocks, offsets = torch.tensor([3, -1, 1]), torch.tensor([2, 0, 0])
    none = torch.zeros(0, dtype=torch.long)
    batch = PackedBatch((), none, none, blocks, offsets, none)
    attention().write(AttentionCall(0, key, key, value, 1.0, None, None, None), pool.layers[0], batch)
    layer = pool.layers[0]
    for paged, rows in ((layer.key, key), (layer.value, value)):
        expected = torch.zeros_like(paged.slots)
        expected[3, :, 2], expected[1, :, 0] = rows[:, 0], rows[:, 2]
        assert torch.equal(paged.slots, expected)


def test_splits_fill_the_device_and_stay_long_enough() -> None:
    """A batch that fills the device is not split, nor is a short context; else into a power of two."""
    assert split_count(8 * 64, 8192, UNITS) == 1
    assert split_count(8, 100, UNITS) == 1
    assert split_count(8, 8192, UNITS) == 32
    assert split_count(8 * 4, 8192, UNITS) == 8
    assert split_count(8, 1024, UNITS) == 4
