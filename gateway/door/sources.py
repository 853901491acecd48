"""Where a door takes ids, seeds and dates from, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sources:
    """Three functions that the wiring provides."""

    new_id: Callable[[], str]
    """Unique in the cluster; letters, digits, `_` and `-`."""
    new_seed: Callable[[], int]
    """64 random bits."""
    unix_time: Callable[[], float]
    """Seconds; for `created` only, never to measure."""
