"""The memory that holds KV blocks, and the generation number of each block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Arena:
    """Block-major KV memory: all layers of a block are contiguous, one descriptor per block."""

    data: npt.NDArray[np.uint8]
    """[num_blocks, block_bytes], C-contiguous."""
    generations: npt.NDArray[np.int64]
    """[num_blocks]; bumped before a block gets a new owner."""

    @property
    def num_blocks(self) -> int:
        """Blocks in the arena."""
        return int(self.data.shape[0])

    @property
    def block_bytes(self) -> int:
        """Bytes of one block, all layers, K and V."""
        return int(self.data.shape[1])

    @property
    def address(self) -> int:
        """Address of block 0."""
        return int(self.data.ctypes.data)

    @property
    def generations_address(self) -> int:
        """Address of the generation of block 0."""
        return int(self.generations.ctypes.data)
