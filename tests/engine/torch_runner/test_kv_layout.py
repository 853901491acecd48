"""The layout: block-major, without overlap, and described so that equal text means equal bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.torch_runner.kv_layout import ITEM_BYTES, KvLayout, LayerShape
from engine.torch_runner.kv_pool import TORCH_DTYPES, allocate_arena, pool_over
from protocol.errors import InvalidSpec

SHAPES = st.builds(LayerShape, st.integers(1, 4), st.sampled_from([2, 8, 12]), st.sampled_from([2, 8, 12]))
LAYOUTS = st.builds(
    KvLayout,
    st.lists(SHAPES, min_size=1, max_size=4).map(tuple),
    st.sampled_from([1, 4, 16]),
    st.sampled_from(sorted(ITEM_BYTES)),
)


@given(LAYOUTS, st.integers(1, 5))
def test_every_byte_of_a_block_belongs_to_one_place(layout: KvLayout, blocks: int) -> None:
    """Writing each layer's K and V with its own number fills the block in the documented order:
    layer, K before V, head, token, dimension and scale; and leaves other blocks alone."""
    arena = allocate_arena(blocks, layout.block_bytes)
    pool = pool_over(arena, layout)
    for number, layer in enumerate(pool.layers):
        layer.key.slots[blocks - 1] = 2 * number + 1
        layer.value.slots[blocks - 1] = 2 * number + 2
    expected = [
        number
        for index, shape in enumerate(layout.layers)
        for number, dim in ((2 * index + 1, shape.k_dim), (2 * index + 2, shape.v_dim))
        for _ in range(shape.kv_heads * layout.block_size * layout.width(dim))
    ]
    numbers = TORCH_DTYPES[layout.dtype]
    assert torch.from_numpy(arena.data[blocks - 1]).view(numbers).tolist() == expected
    assert not arena.data[: blocks - 1].any()


@given(LAYOUTS, st.data())
def test_rows_address_the_same_memory_as_slots(layout: KvLayout, data: st.DataObject) -> None:
    """Row block * block_step + head * head_step is [block, head] of the slots, in every layer."""
    arena = allocate_arena(4, layout.block_bytes)
    arena.data[:] = np.random.default_rng(0).integers(0, 63, arena.data.shape, dtype=np.uint8)
    layer = data.draw(st.sampled_from(pool_over(arena, layout).layers))
    for paged in (layer.key, layer.value):
        block, head = data.draw(st.integers(0, 3)), data.draw(st.integers(0, paged.heads - 1))
        row = paged.rows[block * paged.block_step + head * paged.head_step]
        assert torch.equal(row.view(layout.block_size, paged.dim), paged.slots[block, head])


@given(LAYOUTS, LAYOUTS)
def test_equal_descriptions_mean_equal_layouts(one: KvLayout, other: KvLayout) -> None:
    """The text that goes into the fingerprint tells any two layouts apart."""
    assert (one.describe() == other.describe()) == (one == other)


def test_the_arena_is_page_aligned_and_zero() -> None:
    """Transports register whole pages, and a fresh block holds nothing of anyone."""
    arena = allocate_arena(3, 1000)
    assert arena.address % 4096 == 0
    assert arena.data.flags.c_contiguous
    assert not arena.data.any() and not arena.generations.any()


def test_blocks_follow_from_bytes() -> None:
    """As many blocks as fit; memory for fewer than two is refused."""
    layout = KvLayout((LayerShape(2, 8, 8),), 16, "float32")
    assert layout.block_bytes == 2 * 16 * 16 * 4
    assert layout.blocks_in(10 * layout.block_bytes + 5) == 10
    with pytest.raises(InvalidSpec, match="too small"):
        layout.blocks_in(2 * layout.block_bytes - 1)


def test_an_arena_of_another_size_is_refused() -> None:
    """Views never reach beyond a block."""
    layout = KvLayout((LayerShape(2, 8, 8),), 16, "float32")
    with pytest.raises(ValueError, match="bytes"):
        pool_over(allocate_arena(2, 8), layout)
