"""A hash table from block keys to small numbers, in numpy, that grows in small steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from router.block_keys import Keys
from router.reserved import reserved

LINE = 8
"""Cells of a line: their keys fill one cache line."""
LINES = 128
SLAB = LINE * LINES
FILL = 0.7
"""Share of a slab that is used before a key first finds both its lines full: 0.74 at the least in trials."""
MAX_SKEW = 2
"""A slab is split at most this often more than an even table needs."""
TICKS = 256
"""Ages that a cell can have while as many keys are inserted as the table can hold."""

Cells = npt.NDArray[np.int64]
Values = npt.NDArray[np.uint32]


class BlockTable:
    """Each key lies in one of two lines of its slab, and a slab whose lines are full is split in two by
    the next bit of its keys (extendible hashing, two choices): a look-up reads two cache lines a key,
    growing never moves more than one slab at once, and taking a key out leaves nothing behind.

    When no slab is left to split into, a new key takes the place of the least recently used of its two
    lines. Keys have to be evenly distributed in all their bits, as hashes are.
    """

    def __init__(self, max_blocks: int) -> None:
        """Room for at least `max_blocks` keys."""
        self._max_depth = max(1, int(np.ceil(np.log2(max_blocks / (SLAB * FILL)))))
        slabs = 1 << self._max_depth
        self.capacity = slabs * SLAB
        """Keys that there can be at the very most."""
        self._keys = reserved((slabs * LINES, LINE), np.uint64)
        self._values = reserved((slabs * LINES, LINE), np.uint32)
        self._used = reserved((slabs * LINES, LINE), np.uint16)
        self._depth = 1
        self._directory = np.arange(2)
        self._slab_depth = [1, 1]
        self._slab_prefix = [0, 1]
        self._tick_keys = max(1, self.capacity // TICKS)
        self._inserted = 0
        self._swept = 0

    def find(self, keys: Keys) -> tuple[Cells, Cells]:
        """Which of the keys are here, as ascending indices, and the cell of each of those. Cells are
        valid until the next insert."""
        lines = self._lines(keys)
        # take and flatnonzero are several times as fast here as indexing and nonzero
        near = self._keys.take(lines, axis=0).reshape(len(keys), 2 * LINE)
        at = np.flatnonzero(near == keys[:, None])
        return at // (2 * LINE), lines.reshape(-1)[at // LINE] * LINE + at % LINE

    def values(self, cells: Cells) -> Values:
        """What stands in these cells."""
        return self._values.reshape(-1).take(cells)

    def write(self, cells: Cells, values: Values) -> None:
        """Puts values there; 0 frees a cell."""
        self._values.reshape(-1)[cells] = values
        self._keys.reshape(-1)[cells[values == 0]] = 0

    def touch(self, cells: Cells) -> None:
        """Makes them the most recently used."""
        self._used.reshape(-1)[cells] = self._now

    def insert(self, keys: Keys, value: int, void: npt.NDArray[np.bool_]) -> Values:
        """Puts `value` at keys that are unique and not here. `void[v]` says that a cell of value v may be
        taken, 0 among them. Returns the values of all cells taken, those that were free included."""
        taken = [np.empty(0, np.uint32)]
        self._inserted += len(keys)
        while len(keys):
            lines = self._lines(keys)
            targets, fits = self._targets(lines, void)
            if not fits.all() and self._split_all(lines[~fits, 0] // LINES):
                continue  # some of the lines are elsewhere now
            cells, first = np.unique(targets, return_index=True)
            taken.append(self.values(cells))
            self._keys.reshape(-1)[cells] = keys[first]
            self._values.reshape(-1)[cells] = value
            self.touch(cells)
            left = np.ones(len(keys), np.bool_)
            left[first] = False
            keys = keys[left]
        return np.concatenate(taken)

    def sweep(self, void: npt.NDArray[np.bool_]) -> Values:
        """Frees what is void in one slab, each time the next one, and returns the values that stood there."""
        self._swept = (self._swept + 1) % len(self._slab_depth)
        lines = slice(self._swept * LINES, (self._swept + 1) * LINES)
        gone = void.take(self._values[lines])
        values = self._values[lines][gone]
        self._values[lines][gone] = 0
        self._keys[lines][gone] = 0
        return values

    def _lines(self, keys: Keys) -> Cells:
        """The two lines of each key: [keys, 2]."""
        slabs = self._directory.take((keys >> np.uint64(64 - self._depth)).view(np.int64)) * LINES
        first = (keys & np.uint64(LINES - 1)).view(np.int64)
        other = ((keys >> np.uint64(7)) & np.uint64(LINES // 2 - 1)).view(np.int64) + 1
        lines = np.empty((len(keys), 2), np.int64)
        np.add(slabs, first, out=lines[:, 0])
        np.add(slabs, first ^ other, out=lines[:, 1])
        return lines

    def _targets(self, lines: Cells, void: npt.NDArray[np.bool_]) -> tuple[Cells, npt.NDArray[np.bool_]]:
        """For each key the cell to take, and whether it is a void one: of the emptier line, or else the
        least recently used of both."""
        free = void.take(self._values.take(lines, axis=0))
        room = free.sum(2)
        side = (room[:, 1] > room[:, 0]).astype(np.int64)
        every = 2 * np.arange(len(lines)) + side
        cells = lines.take(every) * LINE + free.reshape(-1, LINE).take(every, axis=0).argmax(1)
        fits = room.take(every) > 0
        if not fits.all():
            crowded = lines[~fits]
            age = (np.uint16(self._now) - self._used[crowded]).reshape(-1, 2 * LINE)
            column = age.argmax(1)
            cells[~fits] = crowded[np.arange(len(crowded)), column // LINE] * LINE + column % LINE
        return cells, fits

    def _split_all(self, slabs: Cells) -> bool:
        """Whether any of these could be split."""
        return any([self._split(slab) for slab in np.unique(slabs).tolist()])

    def _split(self, slab: int) -> bool:
        """Moves the keys whose next bit is 1 to a new slab, each to the line it had; False if there is no
        slab left, or if the keys of this one are so alike that it is no use."""
        depth, new = self._slab_depth[slab], len(self._slab_depth)
        if new * SLAB == self.capacity or depth == self._max_depth + MAX_SKEW:
            return False
        if depth == self._depth:
            self._directory = np.repeat(self._directory, 2)
            self._depth += 1
        old_lines = slice(slab * LINES, (slab + 1) * LINES)
        new_lines = slice(new * LINES, (new + 1) * LINES)
        moves = (self._keys[old_lines] >> np.uint64(63 - depth)) & np.uint64(1) == 1
        for area in (self._keys, self._values, self._used):
            area[new_lines][moves] = area[old_lines][moves]
            area[old_lines][moves] = 0
        prefix = self._slab_prefix[slab] * 2
        self._slab_depth[slab] = depth + 1
        self._slab_prefix[slab] = prefix
        self._slab_depth.append(depth + 1)
        self._slab_prefix.append(prefix + 1)
        span = 1 << (self._depth - depth - 1)
        self._directory[(prefix + 1) * span : (prefix + 2) * span] = new
        return True

    @property
    def _now(self) -> int:
        return self._inserted // self._tick_keys % (1 << 16)
