"""Who is placed next, of those that wait at the gateway."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from itertools import chain, islice

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

    def __len__(self) -> int:
        return len(self._again) + len(self._timely) + len(self._late)

    def enter(self, number: int, start_by_s: float, work_s: float) -> None:
        """`start_by_s`: the last moment at which its prompt, `work_s` of work, can be begun in time. Whoever
        was in the line before, and comes back, stands where it stood: numbers tell who arrived first."""
        comes_back = bool(self._timely) and number < next(reversed(self._timely))
        self._timely[number] = work_s
        if comes_back:
            self._timely = dict(sorted(self._timely.items()))
        heapq.heappush(self._due, (start_by_s, number))

    def enter_again(self, number: int) -> None:
        """It ran already, and its client waits for the next token."""
        self._again.append(number)

    def first(self, count: int, now: float) -> tuple[int, ...]:
        """At most `count` of them, in order."""
        self._sort_out(now)
        turn = 1 if self._passed >= LATE_TURN - 1 else 0
        late_first, late_last = islice(self._late, turn), islice(self._late, turn, None)
        return tuple(islice(chain(self._again, late_first, self._in_time(count, now), late_last), count))

    def leave(self, number: int) -> None:
        """It has a place."""
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
