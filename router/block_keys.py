"""The keys by which the prefix index knows blocks."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
import numpy.typing as npt

from protocol.ids import BlockHash

Keys = npt.NDArray[np.uint64]
"""The first 8 bytes of block hashes, never 0: the table marks free cells with it."""


def unpacked_keys(packed: bytes) -> Keys:
    """Keys of one event. Raises ValueError unless it is a whole number of them."""
    keys: Keys = np.maximum(np.frombuffer(packed, "<u8"), np.uint64(1))
    return keys


def chain_keys(chain: Seq[BlockHash]) -> Keys:
    """Keys of a prompt's blocks, in order; all hashes are of one length."""
    if not chain:
        return np.empty(0, np.uint64)
    words = np.frombuffer(b"".join(chain), "<u8").reshape(len(chain), -1)
    keys: Keys = np.maximum(words[:, 0], np.uint64(1))
    return keys
