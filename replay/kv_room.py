"""KV memory of one modelled worker: blocks in use, cached blocks in order of last use, and loose tokens."""

from __future__ import annotations

from collections.abc import Sequence

from replay.holders import Holders
from replay.trace import BLOCK_TOKENS


class KvRoom:
    """Counts tokens. Cached blocks without a user are evicted, the longest unused first, whenever the
    others need the room; the deepest of a chain goes first."""

    def __init__(self, worker: int, total: int, holders: Holders) -> None:
        self._worker = worker
        self._holders = holders
        self.total = total
        self._users: dict[int, int] = {}
        self._idle: dict[int, None] = {}
        self._loose = 0

    @property
    def used(self) -> int:
        """Tokens of blocks with a user, and loose ones."""
        return len(self._users) * BLOCK_TOKENS + self._loose

    @property
    def free(self) -> int:
        """Tokens that could be taken."""
        return self.total - self.used

    def missing(self, chain: Sequence[int]) -> int:
        """Tokens of room that taking this chain would cost now."""
        held = 0
        for block in chain:
            if block in self._users:
                held += 1
            elif block not in self._idle:
                break
        return (len(chain) - held) * BLOCK_TOKENS

    def claim(self, chain: Sequence[int], start: int, end: int) -> int:
        """Takes what is cached of `chain[start:end]`, without gaps; returns where that ends."""
        users, idle = self._users, self._idle
        for place in range(start, end):
            block = chain[place]
            if block in users:
                users[block] += 1
            elif block in idle:
                del idle[block]
                users[block] = 1
            else:
                return place
        return end

    def take(self, tokens: int) -> None:
        """Loose tokens: growth, or blocks whose KV is not there yet."""
        self._loose += tokens
        self._evict()

    def fill(self, chain: Sequence[int], start: int, end: int) -> None:
        """KV of these blocks is there: they leave the loose tokens and can be shared."""
        users, idle = self._users, self._idle
        for place in range(start, end):
            block = chain[place]
            if block in users:
                users[block] += 1
                continue
            if block in idle:
                del idle[block]
            else:
                self._holders.add(block, self._worker)
            users[block] = 1
        self._loose -= (end - start) * BLOCK_TOKENS

    def release(self, chain: Sequence[int], blocks: int, loose: int) -> None:
        """One user of the first `blocks` of the chain leaves, with its loose tokens; blocks stay cached."""
        users = self._users
        for place in range(blocks - 1, -1, -1):
            block = chain[place]
            count = users[block] - 1
            if count:
                users[block] = count
            else:
                del users[block]
                self._idle[block] = None
        self._loose -= loose
        self._evict()

    def _evict(self) -> None:
        over = (len(self._users) + len(self._idle)) * BLOCK_TOKENS + self._loose - self.total
        while over > 0 and self._idle:
            block = next(iter(self._idle))
            del self._idle[block]
            self._holders.remove(block, self._worker)
            over -= BLOCK_TOKENS
