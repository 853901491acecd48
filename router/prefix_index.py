"""Which worker holds which blocks, as far as the workers have said: it advises, and decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.ids import WorkerIdentity
from protocol.kv_events import Tier
from router.block_keys import Keys
from router.block_table import BlockTable
from router.holder_sets import NOBODY, HolderSets
from router.prefix_hits import PrefixHits, hits_of_runs


@dataclass(frozen=True, slots=True)
class IndexLimits:
    """Bounds of one index. Memory is taken as it fills: at most about 40 bytes a distinct block, and for each
    distinct set of workers about 150 and a quarter of `max_workers`."""

    max_blocks: int = 1 << 24
    """Distinct blocks that find room; beyond them the least recently used of a few gives way."""
    max_workers: int = 1024
    max_sets: int = 1 << 20
    """Distinct sets of workers that hold a block; beyond them a block's holders are not kept up to date."""


class PrefixIndex:
    """A wrong or missing entry costs time, never correctness."""

    def __init__(self, limits: IndexLimits) -> None:
        self._table = BlockTable(limits.max_blocks)
        self._sets = HolderSets(limits.max_workers, limits.max_sets)
        self._slots: dict[WorkerIdentity, int] = {}
        self._free = list(range(self._sets.slots - 1, -1, -1))

    def slot(self, worker: WorkerIdentity) -> int | None:
        """Where this worker stands in PrefixHits; None if it is not known."""
        return self._slots.get(worker)

    def join(self, worker: WorkerIdentity) -> bool:
        """Makes room for a worker's entries; False if there are too many workers."""
        if worker not in self._slots:
            if not self._free:
                return False
            self._slots[worker] = self._free.pop()
        return True

    def leave(self, worker: WorkerIdentity) -> None:
        """Drops the worker and all its entries. An unknown one is no error, here and below."""
        slot = self._slots.pop(worker, None)
        if slot is not None:
            self._sets.forget(slot)
            self._free.append(slot)

    def clear(self, worker: WorkerIdentity) -> None:
        """Drops all entries of a worker that stays."""
        slot = self._slots.get(worker)
        if slot is not None:
            self._sets.forget(slot)

    def store(self, worker: WorkerIdentity, keys: Keys, tier: Tier) -> None:
        """The worker holds these blocks in this tier, whatever was known before. Also takes away a little of
        what workers left behind."""
        slot = self._slots.get(worker)
        if slot is None or not len(keys):
            return
        if self._sets.voids:
            self._sets.release(self._table.sweep(self._sets.void))
        keys = _distinct(keys)
        which, cells = self._table.find(keys)
        if len(cells):
            self._table.write(cells, self._sets.changed(self._table.values(cells), slot, tier))
            self._table.touch(cells)
        missing = np.ones(len(keys), np.bool_)
        missing[which] = False
        self._add(keys[missing], slot, tier)

    def evict(self, worker: WorkerIdentity, keys: Keys) -> None:
        """The worker holds these blocks no longer."""
        slot = self._slots.get(worker)
        if slot is None or not len(keys):
            return
        _, cells = self._table.find(_distinct(keys))
        self._table.write(cells, self._sets.changed(self._table.values(cells), slot, None))

    def lookup(self, chain: Keys) -> PrefixHits:
        """The longest prefix of the chain on every worker at once; what is found counts as just used."""
        which, cells = self._table.find(chain)
        missing = (which != np.arange(len(which))).nonzero()[0]
        cells = cells[: int(missing[0]) if len(missing) else len(cells)]
        self._table.touch(cells)
        held = self._table.values(cells)
        starts = np.flatnonzero(np.concatenate(([True], held[1:] != held[:-1]))[: len(held)])
        return hits_of_runs(self._sets.rows(held[starts]), starts, len(held))

    def entries(self) -> int:
        """Pairs of a block and a worker that holds it: counted now, so not for every request."""
        return self._sets.entries()

    def _add(self, keys: Keys, slot: int, tier: Tier) -> None:
        """Keys that are not in the table."""
        if not len(keys):
            return
        alone = self._sets.alone(slot, tier, len(keys))
        if alone != NOBODY:
            self._sets.release(self._table.insert(keys, alone, self._sets.void))


def _distinct(keys: Keys) -> Keys:
    """While tokens are generated, blocks come one by one."""
    return np.unique(keys) if len(keys) > 1 else keys
