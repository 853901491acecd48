"""What became of one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.attempt_note import AttemptNote
from gateway.journey import Journey
from protocol.errors import BatonError
from protocol.ids import RequestId
from protocol.stamp import Phase


@dataclass(frozen=True, slots=True)
class Record:
    """Without the prompt, so that many can be kept."""

    id: RequestId
    tenant: str
    session: str
    state: str
    """waiting, computing, finished, closed (its reader left, or had all it wanted), or an error's code."""
    arrived_at: float
    """On the gateway's clock, which is the door's."""
    seconds: float
    """From its arrival; to its last token, or until now."""
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    phases: Mapping[Phase, float]
    """Seconds; they add up to `seconds`."""
    attempts: int
    notes: tuple[AttemptNote, ...]
    """Of the last attempts, oldest first."""

    @property
    def placed(self) -> AttemptNote | None:
        """The last attempt that its workers admitted."""
        return next((note for note in reversed(self.notes) if note.placed), None)


def record_of(journey: Journey, state: str, now: float) -> Record:
    """The journey as it stands at `now`."""
    phases = {stamp.phase: stamp.seconds for stamp in journey.phases.stamps()}
    return Record(
        id=journey.request.id,
        tenant=journey.request.tenant,
        session=journey.request.session,
        state=state,
        arrived_at=journey.arrived_at,
        seconds=(journey.phases.told_until if journey.finished else now) - journey.arrived_at,
        prompt_tokens=len(journey.request.prompt),
        cached_tokens=journey.cached_tokens or 0,
        generated_tokens=len(journey.sent),
        phases=phases,
        attempts=journey.attempts,
        notes=tuple(journey.notes),
    )


def end_state(journey: Journey, error: BatonError | None) -> str:
    """How it ended."""
    if error is not None:
        return error.code
    return "finished" if journey.finished else "closed"
