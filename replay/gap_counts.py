"""Percentiles of many weighted values in little memory."""

from __future__ import annotations

import math

RESOLUTION = 1.01
"""Neighbouring classes differ by 1 %."""
LEAST_S = 1e-6


class GapCounts:
    """Counts of times between tokens, in classes."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, seconds: float, count: int) -> None:
        """`count` gaps of this length."""
        if count > 0:
            place = math.ceil(math.log(max(seconds, LEAST_S) / LEAST_S) / math.log(RESOLUTION))
            self._counts[place] = self._counts.get(place, 0) + count

    def percentile(self, share: float) -> float:
        """The upper bound of the class in which the share is reached; 0 without any."""
        wanted = share * sum(self._counts.values())
        seen = 0
        for place in sorted(self._counts):
            seen += self._counts[place]
            if seen >= wanted:
                return float(LEAST_S * RESOLUTION**place)
        return 0.0
