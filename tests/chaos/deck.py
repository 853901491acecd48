"""In which order faults come: shuffled, and each kind before any comes again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.chaos.faults import WORKER_FAULTS, Fault


class Deck:
    """Shuffled anew whenever it is empty."""

    def __init__(self, kinds: Sequence[Fault], dice: random.Random) -> None:
        self._kinds = kinds
        self._dice = dice
        self._left: list[Fault] = []

    def draw(self, *, whole: bool) -> Fault | None:
        """The next fault that may happen now; None if all that are left would take a worker, while one is
        away already."""
        if not self._left:
            self._left = self._dice.sample(self._kinds, len(self._kinds))
        for kind in self._left:
            if whole or not (kind in WORKER_FAULTS or kind is Fault.FREEZE):
                self._left.remove(kind)
                return kind
        return None
