"""Blocks of KV memory: who holds them, which are cached, which may be taken."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Sequence as Seq

import numpy as np
import numpy.typing as npt

from engine.hold_counts import HoldCounts
from engine.kv_journal import KvJournal
from engine.owner import Owner, OwnerKind
from protocol.errors import Busy, EngineFailed
from protocol.ids import BlockHash, BlockId


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
        self._hash_of: dict[int, BlockHash] = {}
        self._block_of: dict[BlockHash, BlockId] = {}
        self._counts = HoldCounts()
        self._cached = 0
        """Blocks that are findable and without a holder."""
        self.journal = KvJournal()
        """What becomes findable and what no longer is; drained by whoever tells others."""

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

    def findable(self, start: int, stop: int) -> list[BlockHash]:
        """Contents of the findable ones among the blocks numbered from `start` to below `stop`."""
        contents = map(self._hash_of.get, range(start, min(stop, self.total)))
        return [content for content in contents if content is not None]

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
        self._hold(owner, hits)
        taken = [self._renew() for _ in range(fresh)]
        self._hold(owner, taken)
        return [*hits, *taken]

    def share(self, owner: Owner, blocks: Seq[BlockId]) -> None:
        """Makes `owner` one more holder of blocks; raises EngineFailed if nobody holds one of them."""
        if not all(self._refs[block] for block in blocks):
            raise EngineFailed("a block that nobody holds cannot be shared")
        self._hold(owner, blocks)

    def publish(self, block: BlockId, content: BlockHash) -> None:
        """Makes a held, completely written block findable. A second copy stays unfindable."""
        if self._refs[block] == 0:
            raise EngineFailed(f"block {block} is published but nobody holds it")
        if content not in self._block_of and block not in self._hash_of:
            self._block_of[content] = block
            self._hash_of[block] = content
            self.journal.stored(content)

    def retract(self, block: BlockId) -> None:
        """Makes a block unfindable: its content turned out to be wrong. Its holders keep it."""
        content = self._hash_of.pop(block, None)
        if content is not None:
            del self._block_of[content]
            self._cached -= self._refs[block] == 0
            self.journal.evicted(content)

    def rename(self, old: Owner, new: Owner) -> None:
        """Moves everything that `old` holds to `new`. Nothing held: nothing happens."""
        moved = self._holds.pop(old, {})
        if moved and new not in self._holds:  # as many holders as before
            self._holds[new] = moved
            self._counts.add(new.kind, moved)
            self._counts.remove(old.kind, moved)
            return
        self._hold(new, moved)
        for block in moved:
            self._refs[block] -= 1
        self._counts.remove(old.kind, moved)

    def give_back(self, owner: Owner) -> None:
        """Ends all that `owner` holds. Doing it twice is harmless."""
        ended = self._holds.pop(owner, {})
        self._counts.remove(owner.kind, ended)
        for block in reversed(ended):
            self._refs[block] -= 1
            if self._refs[block] == 0:
                self._idle[block] = None
                if block in self._hash_of:
                    self._cached += 1
                else:
                    self._idle.move_to_end(block, last=False)

    def held_by(self, owner: Owner) -> tuple[BlockId, ...]:
        """Blocks of one owner, in the order they were taken."""
        return tuple(self._holds.get(owner, ()))

    def held(self, *kinds: OwnerKind) -> int:
        """Blocks that somebody of these kinds holds; one that several share counts once, or else a
        prefix that many transfers pin would look like a full pool."""
        return self._counts.held(kinds)

    def owners(self, kind: OwnerKind) -> tuple[Owner, ...]:
        """Everyone of one kind who holds something."""
        return tuple(owner for owner in self._holds if owner.kind is kind)

    def generation(self, block: BlockId) -> int:
        """The block's present generation."""
        return int(self._generations[block])

    def counts(self) -> dict[OwnerKind, int]:
        """Blocks by owner kind; they add up to `total`."""
        cached = {OwnerKind.CACHE: self._cached, OwnerKind.FREE: len(self._idle) - self._cached}
        return dict.fromkeys(OwnerKind, 0) | self._counts.strongest() | cached

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
        if self._counts != self._recount() or self._cached != sum(
            map(self._hash_of.__contains__, self._idle)
        ):
            raise EngineFailed("the counts of blocks by owner are not what owners hold")
        if sum(self.counts().values()) != self.total:
            raise EngineFailed("blocks by owner do not add up to the total")

    def _recount(self) -> HoldCounts:
        counts = HoldCounts()
        for owner, blocks in self._holds.items():
            counts.add(owner.kind, blocks)
        return counts

    def _renew(self) -> BlockId:
        block, _ = self._idle.popitem(last=False)
        self.retract(block)
        self._generations[block] += 1
        return block

    def _hold(self, owner: Owner, blocks: Iterable[BlockId]) -> None:
        held = self._holds.get(owner, {})
        fresh = [block for block in dict.fromkeys(blocks) if block not in held]
        if not fresh:
            return
        held.update(dict.fromkeys(fresh))
        self._holds[owner] = held
        self._counts.add(owner.kind, fresh)
        for block in fresh:
            if self._refs[block] == 0:
                self._idle.pop(block, None)  # a renewed one has left already
                self._cached -= block in self._hash_of
            self._refs[block] += 1
