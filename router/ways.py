"""How long commands and first tokens are on their way, learnt from finished requests."""

from __future__ import annotations

WEIGHT = 0.1
"""Of a new measurement in the running averages."""
FORGET = 0.01
"""Share by which the other way is believed less: what looked slow once, while cold, is tried again."""


class Ways:
    """Seconds that no worker's phase accounts for, up to the first token: a prompt that is computed by a
    prefill worker takes one question more. Nothing, until something was measured."""

    def __init__(self) -> None:
        self._seconds = {False: 0.0, True: 0.0}

    def observe(self, seconds: float, *, remote: bool) -> None:
        """One request; `remote`: a prefill worker computed its prompt."""
        known = self._seconds[remote] or seconds
        self._seconds[remote] = known + WEIGHT * (seconds - known)
        self._seconds[not remote] *= 1.0 - FORGET

    def seconds(self, *, remote: bool) -> float:
        """Of a request like that."""
        return self._seconds[remote]
