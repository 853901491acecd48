"""Who computes next: start-time fair queueing between tenants, in tokens.

Each sequence gets a start tag when it arrives: the later of the queue's virtual time and the end of
its tenant's previous work; its tenant's work then extends by the tokens it brings. Lower tags go
first, so a tenant that sends much queues behind itself. (Goyal, Vin, Cheng: Start-time Fair
Queueing, 1996.) A level of priority is a head start of PRIORITY_TOKENS, not a right of way: virtual
time overtakes every head start, so nobody starves.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from engine.sequence import Sequence

PRIORITY_TOKENS = 32_768
MAX_TENANTS = 65_536
"""Tenants whose end of work is remembered; the longest idle ones are forgotten first."""


class WaitingQueue:
    """Waiting sequences in the order in which they may start."""

    def __init__(self) -> None:
        self._waiting: list[Sequence] = []
        self._virtual = 0.0
        self._ends: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._waiting)

    @property
    def sequences(self) -> list[Sequence]:
        """In the order in which they may start; not to be changed."""
        return self._waiting

    def arrive(self, sequence: Sequence) -> None:
        """Enters a new sequence."""
        self.tag(sequence)
        self.come_back(sequence)

    def tag(self, sequence: Sequence) -> None:
        """Gives a sequence its place among all others, also one that never waits here."""
        request = sequence.request
        start = max(self._virtual, self._ends.pop(request.tenant, 0.0))
        self._ends[request.tenant] = start + sequence.uncomputed + sequence.until - sequence.generated
        if len(self._ends) > MAX_TENANTS:
            del self._ends[next(iter(self._ends))]
        sequence.tag = start - request.priority * PRIORITY_TOKENS

    def come_back(self, sequence: Sequence) -> None:
        """Enters a sequence at the place that its tag gives it: a preempted one keeps its own."""
        insort(self._waiting, sequence, key=lambda one: one.tag)

    def start(self, sequence: Sequence) -> None:
        """Removes a sequence that starts; virtual time moves up to its start."""
        self._waiting.remove(sequence)
        self._virtual = max(self._virtual, sequence.tag + sequence.request.priority * PRIORITY_TOKENS)

    def leave(self, sequence: Sequence) -> None:
        """Removes a sequence that is not wanted any more."""
        self._waiting.remove(sequence)
