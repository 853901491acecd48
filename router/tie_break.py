"""Order among equals: a hash, so that equal workers share the load and a replay repeats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WIDTH_S = 1e-6
"""Costs closer than this count as equal."""


def tie_break_s(seed: int, workers: int) -> npt.NDArray[np.float64]:
    """Seconds in [0, WIDTH_S) to add to costs, [workers]: splitmix64 of the seed and the worker's place."""
    mixed = np.arange(1, workers + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64((seed * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed >> np.uint64(11)).astype(np.float64) * (WIDTH_S / 2.0**53)
