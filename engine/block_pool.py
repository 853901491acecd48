"""Blocks of KV memory: who holds them, which are cached, which may be taken."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as Seq

import numpy as np
import numpy.typing as npt

from engine.owner import Owner, OwnerKind
from protocol.errors import Busy, EngineFailed
from protocol.ids import BlockHash, BlockId

STRONGEST_FIRST = (
    OwnerKind.QUARANTINE,
    OwnerKind.FENCED,
    OwnerKind.DEST,
    OwnerKind.PINNED,
    OwnerKind.REQUEST,
)
"""A block that several owners hold is counted under the first of these."""


class BlockPool:
    """Every block is held by owners, or cached (findable), or free. Touched by one thread only.

    A block's generation is bumped before it gets new content; a cached block that gets one more
    holder keeps its content and its generation.
    """

    def __init__(self, generations: npt.NDArray[np.int64]) -> None:
        """`generations`: [num_blocks], in memory that readers can read."""
        self._generations = generations
        self.total = int(generations.shape[0])
        self._refs = [0] * self.total
        self._holds: dict[Owner, dict[BlockId, None]] = {}
        self._idle: OrderedDict[BlockId, None] = OrderedDict((BlockId(b), None) for b in range(self.total))
        self._hash_of: dict[BlockId, BlockHash] = {}
        self._block_of: dict[BlockHash, BlockId] = {}

    @property
    def available(self) -> int:
        """Blocks that nobody holds: free or cached."""
        return len(self._idle)

    def match(self, hashes: Seq[BlockHash]) -> list[BlockId]:
        """Blocks of the longest cached prefix of this chain. Changes nothing."""
        found: list[BlockId] = []
        for one in hashes:
            block = self._block_of.get(one)
            if block is None:
                break
            found.append(block)
        return found

    def room(self, hits: Seq[BlockId]) -> int:
        """Fresh blocks that could be taken together with these hits."""
        return len(self._idle) - sum(1 for block in hits if self._refs[block] == 0)

    def refs(self, block: BlockId) -> int:
        """How many owners hold the block."""
        return self._refs[block]

    def take(self, owner: Owner, hits: Seq[BlockId], fresh: int) -> list[BlockId]:
        """Gives `owner` the hits and `fresh` more blocks, in this order; raises Busy and changes
        nothing if there are too few. An owner that holds something already gets them in addition;
        what it holds already is not held twice. Nothing may be taken between `match` and `take` of
        the same hits: raises EngineFailed if one is no longer cached."""
        if not all(block in self._hash_of for block in hits):
            raise EngineFailed("a prefix hit was evicted before it was taken")
        if fresh > self.room(hits):
            raise Busy(f"{fresh} blocks wanted, {self.room(hits)} can be taken")
        for block in hits:
            self._hold(owner, block)
        taken = [self._renew() for _ in range(fresh)]
        for block in taken:
            self._hold(owner, block)
        return [*hits, *taken]

    def share(self, owner: Owner, blocks: Seq[BlockId]) -> None:
        """Makes `owner` one more holder of blocks; raises EngineFailed if nobody holds one of them."""
        if not all(self._refs[block] for block in blocks):
            raise EngineFailed("a block that nobody holds cannot be shared")
        for block in blocks:
            self._hold(owner, block)

    def publish(self, block: BlockId, content: BlockHash) -> None:
        """Makes a held, completely written block findable. A second copy stays unfindable."""
        if self._refs[block] == 0:
            raise EngineFailed(f"block {block} is published but nobody holds it")
        if content not in self._block_of and block not in self._hash_of:
            self._block_of[content] = block
            self._hash_of[block] = content

    def retract(self, block: BlockId) -> None:
        """Makes a block unfindable: its content turned out to be wrong. Its holders keep it."""
        content = self._hash_of.pop(block, None)
        if content is not None:
            del self._block_of[content]

    def rename(self, old: Owner, new: Owner) -> None:
        """Moves everything that `old` holds to `new`. Nothing held: nothing happens."""
        for block in self._holds.pop(old, {}):
            self._refs[block] -= 1
            self._hold(new, block)

    def give_back(self, owner: Owner) -> None:
        """Ends all that `owner` holds. Doing it twice is harmless."""
        for block in reversed(self._holds.pop(owner, {})):
            self._refs[block] -= 1
            if self._refs[block] == 0:
                self._idle[block] = None
                if block not in self._hash_of:
                    self._idle.move_to_end(block, last=False)

    def held_by(self, owner: Owner) -> tuple[BlockId, ...]:
        """Blocks of one owner, in the order they were taken."""
        return tuple(self._holds.get(owner, ()))

    def held(self, *kinds: OwnerKind) -> int:
        """Blocks that somebody of these kinds holds; one that several share counts once, or else a
        prefix that many transfers pin would look like a full pool."""
        return len(
            {block for owner, blocks in self._holds.items() if owner.kind in kinds for block in blocks}
        )

    def owners(self, kind: OwnerKind) -> tuple[Owner, ...]:
        """Everyone of one kind who holds something."""
        return tuple(owner for owner in self._holds if owner.kind is kind)

    def generation(self, block: BlockId) -> int:
        """The block's present generation."""
        return int(self._generations[block])

    def counts(self) -> dict[OwnerKind, int]:
        """Blocks by owner kind; they add up to `total`."""
        result = dict.fromkeys(OwnerKind, 0)
        counted: set[BlockId] = set()
        for kind in STRONGEST_FIRST:
            before = len(counted)
            for owner, blocks in self._holds.items():
                if owner.kind is kind:
                    counted.update(blocks)
            result[kind] = len(counted) - before
        cached = len(self._hash_of.keys() & self._idle.keys())
        result[OwnerKind.CACHE] = cached
        result[OwnerKind.FREE] = len(self._idle) - cached
        return result

    def check(self) -> None:
        """Raises EngineFailed if a block is lost, held and free at once, or found by a wrong hash."""
        refs = [0] * self.total
        for blocks in self._holds.values():
            for block in blocks:
                refs[block] += 1
        if refs != self._refs:
            raise EngineFailed("reference counts do not match what owners hold")
        if any((refs[block] == 0) != (BlockId(block) in self._idle) for block in range(self.total)):
            raise EngineFailed("a block is lost, or free while somebody holds it")
        if {content: block for block, content in self._hash_of.items()} != self._block_of:
            raise EngineFailed("the prefix cache names a block that does not have that content")
        if sum(self.counts().values()) != self.total:
            raise EngineFailed("blocks by owner do not add up to the total")

    def _renew(self) -> BlockId:
        block, _ = self._idle.popitem(last=False)
        self.retract(block)
        self._generations[block] += 1
        return block

    def _hold(self, owner: Owner, block: BlockId) -> None:
        held = self._holds.setdefault(owner, {})
        if block not in held:
            held[block] = None
            self._refs[block] += 1
            self._idle.pop(block, None)
