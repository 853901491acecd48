"""KV memory on a device."""

from __future__ import annotations

import numpy as np
import torch

from engine.arena import Arena, DeviceMemory
from protocol.errors import InvalidSpec


def allocate_device_arena(num_blocks: int, block_bytes: int, device: torch.device) -> Arena:
    """Zeroed blocks on `device`; their generations stay in host memory, where the engine bumps them.
    Raises InvalidSpec if the device has not so much memory left."""
    try:
        tensor = torch.zeros((num_blocks, block_bytes), dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError as error:
        raise InvalidSpec(
            f"kv_memory: {num_blocks * block_bytes >> 20} MiB do not fit beside the model on {device}",
            param="kv_memory",
        ) from error
    return Arena(DeviceMemory(tensor, device.index or 0), np.zeros(num_blocks, np.int64))
