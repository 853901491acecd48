"""Modelled links between workers."""

from __future__ import annotations

from replay.engine_times import KV_BYTES_PER_TOKEN, LINK_BYTES_PER_S
from router.pull_rates import PullRates


class Links:
    """One link per worker and direction; reads at either end wait for each other, in order."""

    def __init__(self, workers: int, pulls: PullRates) -> None:
        self._out_free = [0.0] * workers
        self._in_free = [0.0] * workers
        self._pulls = pulls
        self.token_s = KV_BYTES_PER_TOKEN / LINK_BYTES_PER_S

    def read(self, reader: int, source: int, tokens: int, now: float) -> float:
        """When `tokens` tokens of KV, asked for now, have arrived."""
        if tokens <= 0:
            return now
        start = max(now, self._out_free[source], self._in_free[reader])
        end = start + tokens * self.token_s
        self._out_free[source] = self._in_free[reader] = end
        self._pulls.observe(reader, source, tokens, end - now)
        return end
