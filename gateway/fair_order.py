"""In which order waiting requests get places: start-time fair queueing between tenants, in tokens.

Each request gets a start tag on arrival: the later of virtual time and the end of its tenant's earlier
work, which then grows by the tokens it asks for. Lower tags go first, so a tenant that sends much queues
behind itself. (Goyal, Vin, Cheng: Start-time Fair Queueing, 1996.) Priority is a head start.
"""

from __future__ import annotations

from protocol.request import Request

PRIORITY_TOKENS = 32_768
"""Head start of one level of priority; the engines' own queues give the same."""
MAX_TENANTS = 65_536
"""Tenants whose end of work is remembered; the longest idle ones are forgotten first."""

Place = tuple[float, int]
"""Start tag, then order of arrival: the lowest goes first."""


class FairOrder:
    """Of one gateway."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._ends: dict[str, float] = {}
        self._arrivals = 0

    def arrive(self, request: Request) -> Place:
        """The place of a new request; it keeps it whatever happens to its attempts."""
        start = max(self._virtual, self._ends.pop(request.tenant, 0.0))
        self._ends[request.tenant] = start + len(request.prompt) + request.max_tokens
        if len(self._ends) > MAX_TENANTS:
            del self._ends[next(iter(self._ends))]
        self._arrivals += 1
        return (start - request.priority * PRIORITY_TOKENS, self._arrivals)

    def passed(self, place: Place, priority: int) -> None:
        """A request got its place at workers: virtual time moves up to its start."""
        self._virtual = max(self._virtual, place[0] + priority * PRIORITY_TOKENS)
