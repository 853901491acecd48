"""Which calls this door answers, and which it answered last."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import RequestId

MAX_ENDED = 1024


@dataclass(slots=True)
class CallNote:
    """One call."""

    id: str
    """Its answer's id without the prefix."""
    request_id: str
    """The answer's x-request-id, perhaps the client's own."""
    tenant: str
    sequences: tuple[RequestId, ...]
    received: float
    """When its last byte was here, on the door's clock."""
    ended: float | None = None
    """When the last byte of its answer was written, or it broke off."""


class CallLog:
    """All that are open, and the last MAX_ENDED others. Of two calls that a client gave one name, the later
    is found."""

    def __init__(self) -> None:
        self._notes: dict[str, CallNote] = {}
        self._named: dict[tuple[str, str], CallNote] = {}
        """By tenant and x-request-id."""
        self._ended: dict[str, None] = {}

    def begin(self, note: CallNote) -> None:
        """A call is about to be answered."""
        self._notes[note.id] = note
        self._named[note.tenant, note.request_id] = note

    def end(self, note: CallNote, now: float) -> None:
        """It is over."""
        note.ended = now
        self._ended[note.id] = None
        if len(self._ended) > MAX_ENDED:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            gone = self._notes.pop(oldest)
            if self._named.get((gone.tenant, gone.request_id)) is gone:
                del self._named[gone.tenant, gone.request_id]

    def find(self, tenant: str, name: str) -> CallNote | None:
        """A call of this tenant: by the answer's id, with or without its prefix, or by the x-request-id."""
        note = self._notes.get(name.removeprefix("chatcmpl-").removeprefix("cmpl-"))
        if note is not None and note.tenant == tenant:
            return note
        return self._named.get((tenant, name))
