"""How often the first in a line may be passed by those behind it."""

from __future__ import annotations

LOOK_AHEAD = 4
"""Of those who wait, how many are tried when the first finds no place."""
OVERTAKEN_MOST = 16
"""Places that may go to others while the first finds none: else small ones would keep a large one waiting."""


class Overtaking:
    """Of one line; its members are known by their numbers."""

    def __init__(self) -> None:
        self._head: int | None = None
        self._overtaken = 0
        """Places given to others since the head is the head."""

    def bounded(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the order that may be tried: only the first when it was overtaken often enough."""
        if order and order[0] != self._head:
            self._head, self._overtaken = order[0], 0
        return order[:1] if self._overtaken >= OVERTAKEN_MOST else order

    def placed(self, number: int) -> None:
        """Somebody got a place."""
        self._overtaken += number != self._head
