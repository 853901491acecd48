"""The memory that holds KV blocks, and the generation number of each block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from protocol.errors import EngineFailed

if TYPE_CHECKING:  # the modelled runner needs no torch
    import torch


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """KV memory on a CUDA device."""

    tensor: torch.Tensor
    """uint8 [num_blocks, block_bytes], contiguous."""
    device: int
    """Index of the device, as this process counts."""

    @property
    def shape(self) -> tuple[int, int]:
        """(num_blocks, block_bytes)."""
        return int(self.tensor.shape[0]), int(self.tensor.shape[1])


@dataclass(frozen=True, slots=True)
class Arena:
    """Block-major KV memory: all layers of a block are contiguous, one descriptor per block."""

    memory: npt.NDArray[np.uint8] | DeviceMemory
    """[num_blocks, block_bytes], C-contiguous."""
    generations: npt.NDArray[np.int64]
    """[num_blocks], always in host memory; bumped before a block gets a new owner."""

    @property
    def data(self) -> npt.NDArray[np.uint8]:
        """[num_blocks, block_bytes] in host memory. Raises EngineFailed if it is on a device."""
        if isinstance(self.memory, DeviceMemory):
            raise EngineFailed(f"this KV memory is on device {self.memory.device}, not in host memory")
        return self.memory

    @property
    def device(self) -> int | None:
        """Index of the CUDA device that holds the blocks; None: they are in host memory."""
        return self.memory.device if isinstance(self.memory, DeviceMemory) else None

    @property
    def num_blocks(self) -> int:
        """Blocks in the arena."""
        return int(self.memory.shape[0])

    @property
    def block_bytes(self) -> int:
        """Bytes of one block, all layers, K and V."""
        return int(self.memory.shape[1])

    @property
    def address(self) -> int:
        """Address of block 0, on the device if it is there."""
        if isinstance(self.memory, DeviceMemory):
            return self.memory.tensor.data_ptr()
        return int(self.memory.ctypes.data)

    @property
    def generations_address(self) -> int:
        """Address of the generation of block 0."""
        return int(self.generations.ctypes.data)

    def touch(self) -> None:
        """Zeroes it: pages of host memory that nobody has touched make the first reads 20 times slower.
        Device memory is zeroed when it is allocated."""
        if not isinstance(self.memory, DeviceMemory):
            self.memory.fill(0)
