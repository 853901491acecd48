"""The arrays that the planner reads, one place per worker, with room to grow."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from router.cluster_view import Flags, Floats


@dataclass(slots=True)
class Columns:
    """All are [places]; a place without a worker is not usable."""

    usable: Flags
    prefill: Flags
    decode: Flags
    restrained: Flags
    """New workers that have as much as they may have for now."""
    proven: Flags
    refused: Floats
    """Requests of so many tokens found no place there just now."""
    capacity: Floats
    """Tokens that all its KV would hold."""
    queued: Floats
    step_tokens: Floats
    running: Floats
    kv: Floats
    free: Floats
    slot: npt.NDArray[np.int64]
    """Where the worker stands in the prefix index; -1: it is not there."""

    def __len__(self) -> int:
        return len(self.usable)

    def clear(self, place: int) -> None:
        """Nobody is there."""
        blank = blank_columns(1)
        for column in fields(self):
            getattr(self, column.name)[place] = getattr(blank, column.name)[0]

    def doubled(self) -> Columns:
        """The same, and as many places without a worker."""
        blank = blank_columns(len(self))
        names = [column.name for column in fields(self)]
        return Columns(*(np.concatenate([getattr(self, name), getattr(blank, name)]) for name in names))


def blank_columns(places: int) -> Columns:
    """Places without a worker."""
    return Columns(
        usable=np.zeros(places, np.bool_),
        prefill=np.zeros(places, np.bool_),
        decode=np.zeros(places, np.bool_),
        restrained=np.zeros(places, np.bool_),
        proven=np.zeros(places, np.bool_),
        refused=np.full(places, math.inf),
        capacity=np.zeros(places),
        queued=np.zeros(places),
        step_tokens=np.ones(places),
        running=np.zeros(places),
        kv=np.zeros(places),
        free=np.zeros(places),
        slot=np.full(places, -1, np.int64),
    )
