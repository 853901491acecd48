"""Who is placed next, of those that wait at the gateway."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from itertools import chain, islice

LOOK_AHEAD = 4
"""Of those who wait, how many are tried when the first finds no place."""
OVERTAKEN_MOST = 16
"""Places that may go to others while the first finds none: else small ones would keep a large one waiting."""
LATE_TURN = 16
"""While anybody is late, every so many places at least one goes to the late."""


class WaitingLine:
    """First who lost a place; then who can still be in time; then the late, in order of arrival, so one
    burst does not make everybody late in turn.

    Those in time go in order of arrival, unless the work for the oldest would make another one late:
    then the soonest due go first. The late do not starve: one in LATE_TURN places is for the longest
    late, so they cost those in time at most that share, and wait no longer than their number asks for.
    """

    def __init__(self) -> None:
        self._again: deque[int] = deque()
        self._timely: dict[int, float] = {}
        """Seconds of work each is, in order of arrival."""
        self._due: list[tuple[float, int]] = []
        """A heap of all that are timely, and of some that have left."""
        self._late: dict[int, None] = {}
        self._passed = 0
        """Places given to others since one was given to the late."""
        self._head: int | None = None
        self._overtaken = 0
        """Places given to others since the head is the head."""

    def __len__(self) -> int:
        return len(self._again) + len(self._timely) + len(self._late)

    def enter(self, number: int, start_by_s: float, work_s: float) -> None:
        """`start_by_s`: the last moment at which its prompt, `work_s` of work, can be begun in time."""
        self._timely[number] = work_s
        heapq.heappush(self._due, (start_by_s, number))

    def enter_again(self, number: int) -> None:
        """It ran already, and its client waits for the next token."""
        self._again.append(number)

    def first(self, count: int, now: float) -> tuple[int, ...]:
        """At most `count` of them, in order; only the first when it was overtaken often enough."""
        self._sort_out(now)
        turn = 1 if self._passed >= LATE_TURN - 1 else 0
        late_first, late_last = islice(self._late, turn), islice(self._late, turn, None)
        order = tuple(islice(chain(self._again, late_first, self._in_time(count, now), late_last), count))
        if order and order[0] != self._head:
            self._head, self._overtaken = order[0], 0
        return order[:1] if self._overtaken >= OVERTAKEN_MOST else order

    def leave(self, number: int) -> None:
        """It has a place."""
        if number != self._head:
            self._overtaken += 1
        if number in self._again:
            self._again.remove(number)
        if self._timely.pop(number, None) is not None and self._late:
            self._passed += 1
        elif number in self._late:
            del self._late[number]
            self._passed = 0

    def withdraw(self, number: int) -> None:
        """It waits no longer, and took no place."""
        if number in self._again:
            self._again.remove(number)
        self._timely.pop(number, None)
        self._late.pop(number, None)

    def _sort_out(self, now: float) -> None:
        """Forgets who left, and finds who is late."""
        while self._due and (self._due[0][0] < now or self._due[0][1] not in self._timely):
            number = heapq.heappop(self._due)[1]
            if self._timely.pop(number, None) is not None:
                self._late[number] = None

    def _in_time(self, count: int, now: float) -> Iterable[int]:
        if not self._timely:
            return ()
        work_s = next(iter(self._timely.values()))
        if now + work_s <= self._due[0][0]:
            return self._timely
        waiting = (entry for entry in self._due if entry[1] in self._timely)
        return [number for _, number in heapq.nsmallest(count, waiting)]
