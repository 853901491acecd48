"""The seam between a worker's I/O part and its engine, wherever that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from protocol.errors import BatonError, EngineFailed
from protocol.mail import EngineFacts, EngineInbox, EngineNews, Fatal


class EngineHost(Protocol):
    """Runs one engine once: it is started, it ends, and it is never started again."""

    async def start(self, deadline_s: float) -> EngineFacts:
        """Loads the model and starts the step loop. Raises the error that the engine reports
        (UnsupportedModel, ...), WorkerLost if it ends without one, or DeadlineExceeded; then
        nothing is left running."""
        ...

    def post(self, mail: EngineInbox) -> None:
        """Hands over mail, in order, and never waits.

        Raises WorkerLost if the engine is gone, WireError if the mail is too large, and
        Overloaded if too much mail waits; PeerLost and Stop are taken even then.
        """
        ...

    async def receive(self) -> Sequence[EngineNews]:
        """The next batch; an empty one is a sign of life, sent when the engine has nothing to say.
        For one reader. Raises WorkerLost when the engine has ended and all its mail is read;
        if it failed by itself, its last mail is Fatal unless the process was killed."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Ends the engine after its current step, or by force after `grace_s` seconds.
        Doing it twice is harmless."""
        ...


def fatal_of(error: Exception) -> Fatal:
    """The last mail of an engine that cannot go on."""
    if isinstance(error, BatonError):
        return Fatal(error.code, error.message)
    return Fatal(EngineFailed.code, f"{type(error).__name__}: {error}")
