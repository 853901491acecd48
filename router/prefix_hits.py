"""How much of one prompt each worker holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocol.kv_events import Tier
from router.holder_sets import WORD, Rows

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrefixHits:
    """Both by worker slot."""

    blocks: Counts
    """Blocks of the longest prefix that the worker holds, in whichever tier."""
    on_host: Counts
    """How many of these are in host memory only."""


def hits_of_runs(rows: Rows, starts: Counts, end: int) -> PrefixHits:
    """`rows`: the holders of each run of blocks with the same holders; `starts`: where each run begins,
    the first at 0; `end`: where the last one ends."""
    slots = rows.shape[2] * WORD
    blocks, on_host = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
    if len(rows) == 0:
        return PrefixHits(blocks, on_host)
    ends = np.append(starts[1:], end)
    still = np.bitwise_and.accumulate(rows[:, Tier.DEVICE] | rows[:, Tier.HOST], axis=0)
    last = still.copy()
    last[:-1] &= ~still[1:]
    run, slot = _members(last)
    blocks[slot] = ends[run]
    host = still & rows[:, Tier.HOST]
    if host.any():
        bits = np.unpackbits(host.view(np.uint8), axis=1, bitorder="little").astype(np.float32)
        on_host += ((ends - starts).astype(np.float32) @ bits).astype(np.int64)
    return PrefixHits(blocks, on_host)


def _members(bits: npt.NDArray[np.uint64]) -> tuple[Counts, Counts]:
    """Run and worker slot of every bit that is set in [runs, words]."""
    run, word = bits.nonzero()
    single = np.unpackbits(bits[run, word].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    which, bit = single.nonzero()
    return run[which], word[which] * WORD + bit
