"""Virtual time: what happens next."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timeline:
    """Runs actions in order of their time, equals in the order they were entered."""

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Enters an action; a moment that has passed means now."""
        self._serial += 1
        heapq.heappush(self._entries, (max(moment, self.now), self._serial, action))

    def step(self) -> bool:
        """Runs the next action; false if there is none."""
        if not self._entries:
            return False
        self.now, _, action = heapq.heappop(self._entries)
        action()
        return True
