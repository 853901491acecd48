"""How fast KV is pulled between each two workers, learnt from finished pulls."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

PRIOR_TOKENS_PER_S = 10_000.0
WEIGHT = 0.2
"""Of a new measurement in the running average."""


class PullRates:
    """Tokens a second for each (reader, source); a pair never seen is taken for an average one."""

    def __init__(self, workers: int) -> None:
        self._rates: npt.NDArray[np.float64] = np.full((workers, workers), np.nan)
        self._mean = PRIOR_TOKENS_PER_S
        self._seen = 0

    def grow(self, workers: int) -> None:
        """Makes room for more workers."""
        known = self._rates
        self._rates = np.full((workers, workers), np.nan)
        self._rates[: len(known), : len(known)] = known

    def forget(self, worker: int) -> None:
        """Another worker takes this place."""
        self._rates[worker, :] = self._rates[:, worker] = np.nan

    def observe(self, reader: int, source: int, tokens: int, seconds: float) -> None:
        """One finished pull of `tokens` tokens; empty ones teach nothing."""
        if tokens <= 0 or seconds <= 0.0:
            return
        rate = tokens / seconds
        known = float(self._rates[reader, source])
        self._rates[reader, source] = rate if np.isnan(known) else known + WEIGHT * (rate - known)
        self._seen += 1
        self._mean += max(WEIGHT, 1.0 / self._seen) * (rate - self._mean)

    def from_source(self, source: int) -> npt.NDArray[np.float64]:
        """Tokens a second that each worker would pull from `source`, [workers]."""
        column = self._rates[:, source]
        return np.where(np.isnan(column), self._mean, column)

    def between(self, readers: npt.NDArray[np.int64], source: int) -> npt.NDArray[np.float64]:
        """The same for some readers, [readers]."""
        some = self._rates[readers, source]
        return np.where(np.isnan(some), self._mean, some)

    def rate(self, reader: int, source: int) -> float:
        """Of one pair."""
        known = float(self._rates[reader, source])
        return self._mean if math.isnan(known) else known
