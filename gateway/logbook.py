"""Remembers what became of requests: of all that are open, and of the last that ended."""

from __future__ import annotations

from gateway.journey import Journey
from gateway.record import Record, end_state, record_of
from protocol.errors import BatonError
from protocol.ids import RequestId

MAX_ENDED = 1024


class Logbook:
    """Bounded: requests that are open have a bound of their own."""

    def __init__(self) -> None:
        self._open: dict[RequestId, Journey] = {}
        self._ended: dict[RequestId, Record] = {}

    def begin(self, journey: Journey) -> None:
        """A request has arrived."""
        self._open[journey.request.id] = journey

    def end(self, journey: Journey, error: BatonError | None, now: float) -> Record:
        """It is over; without an error its client has all of it, or left."""
        record = record_of(journey, end_state(journey, error), now)
        if self._open.get(record.id) is journey:
            del self._open[record.id]
        self._ended.pop(record.id, None)
        self._ended[record.id] = record
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        return record

    def find(self, request: RequestId, now: float) -> Record | None:
        """What is known of a request."""
        journey = self._open.get(request)
        if journey is None:
            return self._ended.get(request)
        state = "computing" if journey.phases.placing or journey.sent else "waiting"
        return record_of(journey, state, now)
