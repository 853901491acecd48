"""The sequences that decode together on one modelled worker."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from replay.gap_counts import GapCounts
from replay.job import Job
from replay.kv_room import KvRoom
from replay.lodging import Lodging


@dataclass(slots=True)
class Seat:
    """One running sequence."""

    job: Job
    lodging: Lodging
    joined: int
    """Steps of the batch before it joined."""


class Batch:
    """Every sequence gains a token a step, so the steps are counted once for all."""

    def __init__(self, room: KvRoom, gaps: GapCounts) -> None:
        self._room = room
        self._gaps = gaps
        self._steps = 0
        self._serial = 0
        self._ends: list[tuple[int, int, Seat]] = []
        self._fresh: list[Job] = []

    def __len__(self) -> int:
        return len(self._ends)

    def join(self, job: Job, lodging: Lodging) -> None:
        """From the next step on; at least one token is left."""
        self._serial += 1
        heapq.heappush(self._ends, (self._steps + job.left, self._serial, Seat(job, lodging, self._steps)))
        self._fresh.append(job)

    def steps_to_end(self) -> int:
        """Until the first sequence ends."""
        return self._ends[0][0] - self._steps

    def advance(self, steps: int, step_s: float, now: float) -> list[Job]:
        """`steps` steps of `step_s` have ended now; returns who has ended."""
        count = len(self._ends)
        first_end = now - (steps - 1) * step_s
        for job in self._fresh:
            self._gaps.add(first_end - job.last_s, 1)
        self._gaps.add(step_s, count * steps - len(self._fresh))
        self._fresh.clear()
        self._steps += steps
        self._room.take(count * steps)
        ended = []
        while self._ends and self._ends[0][0] <= self._steps:
            ended.append(self._leave(heapq.heappop(self._ends)[2], now))
        return ended

    def preempt(self, now: float) -> Job:
        """Takes out the youngest."""
        place = max(range(len(self._ends)), key=lambda i: self._ends[i][1])
        seat = self._ends.pop(place)[2]
        heapq.heapify(self._ends)
        if seat.job in self._fresh:
            self._fresh.remove(seat.job)
        return self._leave(seat, now)

    def _leave(self, seat: Seat, now: float) -> Job:
        grown = self._steps - seat.joined
        seat.lodging.leave(grown)
        seat.job.sent += grown
        if grown:
            seat.job.last_s = now
        return seat.job
