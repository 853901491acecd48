"""The arena's bytes as torch tensors, one view per layer."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import torch

from engine.arena import Arena, DeviceMemory
from engine.torch_runner.kv_layout import KvLayout

ALIGNMENT = 4096
TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


@dataclass(frozen=True, slots=True)
class PagedTensor:
    """K or V of one layer, shared memory with the arena.

    `slots` is [num_blocks, heads, block_size, D]. `rows` is the same memory as [*, block_size * D]:
    row `block * block_step + head * head_step` is what one head holds in one block, so that one
    index_select gathers pages straight into [sequence, head, token, D]. Rows may overlap.
    """

    slots: torch.Tensor
    rows: torch.Tensor
    block_step: int
    head_step: int

    @property
    def heads(self) -> int:
        """KV heads."""
        return self.slots.shape[1]

    @property
    def dim(self) -> int:
        """Items per token and head."""
        return self.slots.shape[3]


@dataclass(frozen=True, slots=True)
class LayerKv:
    """KV of one layer."""

    key: PagedTensor
    value: PagedTensor


@dataclass(frozen=True, slots=True)
class KvPool:
    """All layers over one arena."""

    layout: KvLayout
    layers: tuple[LayerKv, ...]


def allocate_arena(num_blocks: int, block_bytes: int) -> Arena:
    """Zeroed, page-aligned memory; pages are touched only when they are first written."""
    raw: np.ndarray[tuple[int], np.dtype[np.uint8]] = np.zeros(num_blocks * block_bytes + ALIGNMENT, np.uint8)
    skip = -raw.ctypes.data % ALIGNMENT
    data = raw[skip : skip + num_blocks * block_bytes].reshape(num_blocks, block_bytes)
    return Arena(data, np.zeros(num_blocks, np.int64))


def pool_over(arena: Arena, layout: KvLayout) -> KvPool:
    """Views of `arena`. Raises ValueError if its blocks have another size."""
    if arena.block_bytes != layout.block_bytes:
        raise ValueError(f"the arena's blocks have {arena.block_bytes} bytes, not {layout.block_bytes}")
    memory = arena.memory
    raw = memory.tensor if isinstance(memory, DeviceMemory) else torch.from_numpy(memory)
    items = raw.reshape(-1).view(TORCH_DTYPES[layout.dtype])
    layers = []
    for index, shape in enumerate(layout.layers):
        key = _paged(items, layout, layout.key_offset(index), shape.kv_heads, layout.width(shape.k_dim))
        value = _paged(items, layout, layout.value_offset(index), shape.kv_heads, layout.width(shape.v_dim))
        layers.append(LayerKv(key, value))
    return KvPool(layout, tuple(layers))


def _paged(items: torch.Tensor, layout: KvLayout, offset: int, heads: int, dim: int) -> PagedTensor:
    block, row = layout.block_items, layout.block_size * dim
    step = gcd(block, row)
    slots = items.as_strided(
        (items.numel() // block, heads, layout.block_size, dim), (block, row, dim, 1), offset
    )
    rows = items.as_strided(((items.numel() - offset - row) // step + 1, row), (step, 1), offset)
    return PagedTensor(slots, rows, block // step, row // step)
