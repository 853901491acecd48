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
        self._due: list[tuple[float, int, int]] = []
        """A heap of all that are timely, each with its stay, and of some stays that are over."""
        self._stays: dict[int, int] = {}
        """Of all that are timely: which stay this is, of all there were."""
        self._entered = 0
        self._late: dict[int, None] = {}
        self._passed = 0
        """Places given to others since one was given to the late."""

    def __len__(self) -> int:
        return len(self._again) + len(self._timely) + len(self._late)

    def enter(self, number: int, start_by_s: float, work_s: float) -> None:
        """`start_by_s`: the last moment at which its prompt, `work_s` of work, can be begun in time. Numbers
        tell who arrived first, also where one comes back."""
        out_of_order = bool(self._timely) and number < next(reversed(self._timely))
        self._timely[number] = work_s
        if out_of_order:
            self._timely = dict(sorted(self._timely.items()))
        self._entered += 1
        self._stays[number] = self._entered
        heapq.heappush(self._due, (start_by_s, number, self._entered))

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
        if self._no_longer_timely(number) and self._late:
            self._passed += 1
        elif number in self._late:
            del self._late[number]
            self._passed = 0

    def withdraw(self, number: int) -> None:
        """It waits no longer, and took no place."""
        if number in self._again:
            self._again.remove(number)
        self._no_longer_timely(number)
        self._late.pop(number, None)

    def _sort_out(self, now: float) -> None:
        """Forgets who left, and finds who is late."""
        while self._due and (self._due[0][0] < now or not self._stays_on(self._due[0])):
            entry = heapq.heappop(self._due)
            if self._stays_on(entry) and self._no_longer_timely(entry[1]):
                self._late[entry[1]] = None

    def _no_longer_timely(self, number: int) -> bool:
        """Whether it was."""
        self._stays.pop(number, None)
        return self._timely.pop(number, None) is not None

    def _stays_on(self, entry: tuple[float, int, int]) -> bool:
        return self._stays.get(entry[1]) == entry[2]

    def _in_time(self, count: int, now: float) -> Iterable[int]:
        if not self._timely:
            return ()
        work_s = next(iter(self._timely.values()))
        if now + work_s <= self._due[0][0]:
            return self._timely
        return [number for _, number, _ in heapq.nsmallest(count, filter(self._stays_on, self._due))]
