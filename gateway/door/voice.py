"""One sequence of a call while it is answered: its text, its counts, its times."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.generator import TokenEvent
from gateway.text.transcript import Ending, Piece, Transcript
from protocol.request import Request
from protocol.stamp import Stamp


class Voice:
    """Hears events and keeps what the end of the answer tells of them."""

    def __init__(self, request: Request, transcript: Transcript) -> None:
        self.request = request
        self._transcript = transcript
        self.cached_tokens = 0
        self.first_s: float | None = None
        """When the first token came, on the door's clock."""
        self.last_s: float | None = None
        """When the latest token came."""
        self.phases: dict[str, float] = {}
        """Seconds by phase."""
        self.ending: Ending | None = None

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer so far."""
        return self._transcript.completion_tokens

    def hear(self, event: TokenEvent, now: float) -> list[Piece]:
        """What the event adds to the text, token by token."""
        if event.tokens:
            self.first_s = now if self.first_s is None else self.first_s
            self.last_s = now
        self.cached_tokens = max(self.cached_tokens, event.cached_tokens)
        if event.stamps:  # they are all that were measured so far
            self.phases = _by_phase(event.stamps)
        pieces = self._transcript.feed_by_token(event)
        self.ending = pieces[-1].ending
        return pieces

    def tokens_per_s(self) -> float:
        """Pace after the first token; 0 while it cannot be told."""
        if self.first_s is None or self.last_s is None or self.last_s <= self.first_s:
            return 0.0
        return (self.completion_tokens - 1) / (self.last_s - self.first_s)


def _by_phase(stamps: Sequence[Stamp]) -> dict[str, float]:
    """A phase that was gone through again, on another worker, adds up."""
    phases: dict[str, float] = {}
    for stamp in stamps:
        phases[stamp.phase.value] = phases.get(stamp.phase.value, 0.0) + stamp.seconds
    return phases
