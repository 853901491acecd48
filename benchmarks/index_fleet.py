"""Whose cache holds which blocks, and prompts that ask for them: the same from the same seed, and never
all in memory at once. A script of numpy alone, so that a peer's python can read it too.

Prompts are of 8k tokens in blocks of 16: a system prompt of 2k tokens, of 50 and with popularity falling
as 1 / rank, and a conversation of its own. A system prompt is on as large a share of the workers as it is
popular; a conversation is whole on the worker that had its last turn and up to some earlier turn on
another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]

PROMPT = 512
SYSTEM = 128
SYSTEMS = 50
SYSTEM_IDS = 1 << 40
KNOWN, GREETED = 0.6, 0.9
"""Share of prompts that go on with a conversation; up to the second, new ones with a known system prompt;
the rest are new in every block."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One event: a worker computed this chain."""

    worker: int
    chain: Keys


@dataclass(slots=True)
class Fleet:
    """Iterate `holdings` first, then ask for `prompts`."""

    workers: int
    seed: int = 1
    conversations: list[int] = field(default_factory=list)
    """The system prompt of each."""

    def holdings(self, entries: int) -> Iterator[Holding]:
        """As many as hold at least `entries` blocks over all workers."""
        dice = np.random.default_rng(self.seed)
        greeted = np.zeros((self.workers, SYSTEMS), np.bool_)
        for rank in range(SYSTEMS):
            for worker in dice.permutation(self.workers)[: max(2, self.workers // (rank + 1))].tolist():
                greeted[worker, rank] = True
                yield Holding(worker, system_prompt(rank))
        count = int(greeted.sum()) * SYSTEM
        while count < entries:
            rank = _rank(dice)
            self.conversations.append(rank)
            chain = self.conversation(len(self.conversations) - 1)
            first, second = dice.choice(self.workers, 2, replace=False).tolist()
            for worker, blocks in ((first, int(dice.integers(SYSTEM + 1, PROMPT))), (second, PROMPT)):
                count += blocks - SYSTEM * int(greeted[worker, rank])
                greeted[worker, rank] = True
                yield Holding(worker, chain[:blocks])

    def prompts(self, count: int, seed: int) -> Iterator[Keys]:
        """What requests ask for, each as the keys of its blocks."""
        dice = np.random.default_rng(seed)
        for number in range(count):
            kind = dice.random()
            if kind < KNOWN:
                yield self.conversation(int(dice.integers(len(self.conversations))))
            elif kind < GREETED:
                tail = keys_from(SYSTEM_IDS * 2 + number, PROMPT - SYSTEM)
                yield np.concatenate((system_prompt(_rank(dice)), tail))
            else:
                yield keys_from(SYSTEM_IDS * 3 + number, PROMPT)

    def conversation(self, number: int) -> Keys:
        """Its whole chain."""
        return np.concatenate((system_prompt(self.conversations[number]), keys_from(number, PROMPT - SYSTEM)))


def system_prompt(rank: int) -> Keys:
    """Keys of one of them."""
    return keys_from(SYSTEM_IDS + rank, SYSTEM)


def keys_from(number: int, count: int) -> Keys:
    """As even as hashes: SplitMix64 (Steele et al., OOPSLA 2014) over a counter of their own."""
    state = np.arange(number << 10, (number << 10) + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.maximum(state ^ (state >> np.uint64(31)), np.uint64(1))


def _rank(dice: np.random.Generator) -> int:
    return int(SYSTEMS ** dice.random()) - 1
