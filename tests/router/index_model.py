"""The prefix index as plain dictionaries, and keys as even as hashes are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np

from protocol.ids import BlockHash, Incarnation, WorkerId, WorkerIdentity
from protocol.kv_events import Tier
from router.block_keys import Keys, chain_keys
from router.prefix_hits import PrefixHits
from router.prefix_index import PrefixIndex


def block_hash(block: int) -> BlockHash:
    """The hash of a block that is known by a number."""
    return BlockHash(sha256(b"%d" % block).digest())


def keys_of(blocks: Iterable[int]) -> Keys:
    """Keys of numbered blocks."""
    return chain_keys([block_hash(block) for block in blocks])


def worker(name: str, life: str = "1") -> WorkerIdentity:
    """One life of a worker."""
    return WorkerIdentity(WorkerId(name), Incarnation(life))


def many_keys(count: int, seed: int) -> Keys:
    """Distinct keys of no chain in particular."""
    keys = np.random.default_rng(seed).integers(1, (1 << 64) - 1, count, dtype=np.uint64)
    return np.unique(keys)


class IndexModel:
    """What every worker said it holds, by block."""

    def __init__(self) -> None:
        self.tiers: dict[WorkerIdentity, dict[int, Tier]] = {}

    def hits(self, holder: WorkerIdentity, chain: Sequence[int]) -> tuple[int, int]:
        """Blocks of the prefix, and how many of them are on the host."""
        held, blocks, on_host = self.tiers[holder], 0, 0
        for block in chain:
            if block not in held:
                break
            blocks += 1
            on_host += held[block] is Tier.HOST
        return blocks, on_host

    def entries(self) -> int:
        """Blocks over all workers."""
        return sum(len(held) for held in self.tiers.values())


def hits_on(index: PrefixIndex, hits: PrefixHits, holder: WorkerIdentity) -> tuple[int, int]:
    """One worker's part of a look-up."""
    slot = index.slot(holder)
    assert slot is not None
    return int(hits.blocks[slot]), int(hits.on_host[slot])
