"""Who is placed next, of those that wait at the gateway."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from itertools import islice


class WaitingLine:
    """By priority, then: who lost a place first, then who can still be in time, the soonest due first,
    then the late, in order of arrival. So one burst does not make everybody late in turn."""

    def __init__(self) -> None:
        self._again: deque[int] = deque()
        self._timely: list[tuple[float, int]] = []
        self._late: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._again) + len(self._timely) + len(self._late)

    def enter(self, number: int, start_by_s: float) -> None:
        """`start_by_s`: the last moment at which its first token can be begun in time."""
        heapq.heappush(self._timely, (start_by_s, number))

    def enter_again(self, number: int) -> None:
        """It ran already, and its client waits for the next token."""
        self._again.append(number)

    def first(self, count: int, now: float) -> tuple[int, ...]:
        """At most `count` of them, in order."""
        while self._timely and self._timely[0][0] < now:
            self._late.append(heapq.heappop(self._timely)[1])
        return tuple(islice(self._order(count), count))

    def leave(self, number: int) -> None:
        """It has a place; it was among the first."""
        for line in (self._again, self._late):
            if number in line:
                line.remove(number)
                return
        self._timely = [entry for entry in self._timely if entry[1] != number]
        heapq.heapify(self._timely)

    def _order(self, count: int) -> Iterator[int]:
        yield from self._again
        yield from (number for _, number in heapq.nsmallest(count, self._timely))
        yield from self._late
