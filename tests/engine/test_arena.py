"""KV memory, in host memory or on a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.arena import Arena, DeviceMemory
from engine.torch_runner.cuda.device_arena import allocate_device_arena
from engine.torch_runner.kv_layout import KvLayout, LayerShape
from engine.torch_runner.kv_pool import pool_over
from protocol.errors import EngineFailed

LAYOUT = KvLayout((LayerShape(2, 4, 6), LayerShape(1, 8, 8)), 4, "float32")


def test_a_host_arena_names_its_memory() -> None:
    """Address, sizes and place are those of the array."""
    data = np.ones((3, 8), np.uint8)
    arena = Arena(data, np.zeros(3, np.int64))
    assert (arena.num_blocks, arena.block_bytes, arena.device) == (3, 8, None)
    assert arena.address == data.ctypes.data
    arena.touch()
    assert not data.any()


def test_a_device_arena_is_never_read_as_host_memory() -> None:
    """Blocks are the device's, generations the host's; whoever wants bytes by the CPU hears why not."""
    tensor = torch.ones(3, 8, dtype=torch.uint8)
    arena = Arena(DeviceMemory(tensor, 2), np.zeros(3, np.int64))
    assert (arena.num_blocks, arena.block_bytes, arena.device) == (3, 8, 2)
    assert arena.address == tensor.data_ptr()
    assert arena.generations_address == arena.generations.ctypes.data
    arena.touch()
    assert tensor.all()
    with pytest.raises(EngineFailed, match="on device 2"):
        _ = arena.data


def test_a_pool_over_device_memory_is_that_memory() -> None:
    """Layers are views of the device's tensor, at the offsets of the layout."""
    arena = allocate_device_arena(5, LAYOUT.block_bytes, torch.device("cpu"))
    assert isinstance(arena.memory, DeviceMemory)
    pool = pool_over(arena, LAYOUT)
    pool.layers[1].value.slots[3, 0, 2] = 1.0
    at = 4 * (LAYOUT.value_offset(1) + 2 * 8)
    written = arena.memory.tensor[3].view(torch.uint8).nonzero().flatten()
    assert at <= int(written.min()) and int(written.max()) < at + 32
    assert not arena.memory.tensor[[0, 1, 2, 4]].any()
