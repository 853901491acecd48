"""The salted chain of block hashes: equal hash means equal tokens, from the start, for one tenant."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

from protocol.ids import BlockHash


def chain_root(fingerprint: bytes, salt: bytes) -> BlockHash:
    """The hash before block 0. Other model, layout or tenant: other chain."""
    length = len(fingerprint).to_bytes(4, "big")
    return BlockHash(hashlib.sha256(b"baton-chain-1" + length + fingerprint + salt).digest())


def next_hash(parent: BlockHash, tokens: Sequence[int]) -> BlockHash:
    """Hash of one full block after `parent`."""
    return BlockHash(hashlib.sha256(parent + array("I", tokens).tobytes()).digest())


def hash_chain(root: BlockHash, tokens: Sequence[int], block_size: int) -> tuple[BlockHash, ...]:
    """Hashes of the full blocks of `tokens`, in order; a partial last block has none."""
    words = array("I", tokens)
    data, width = words.tobytes(), block_size * words.itemsize
    hashes: list[BlockHash] = []
    parent = root
    for start in range(0, len(data) - width + 1, width):
        parent = BlockHash(hashlib.sha256(parent + data[start : start + width]).digest())
        hashes.append(parent)
    return tuple(hashes)
