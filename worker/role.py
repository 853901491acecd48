"""What a worker is handed: it knows no role by name."""

from __future__ import annotations

from typing import Protocol

from engine.step_hook import StepHook
from protocol.mail import EngineOutbox, Inbound, PeerId
from worker.role_load import RoleLoad


class Role(StepHook, Protocol):
    """One part that a worker plays. Lives in the engine's thread; never blocks."""

    def receive(self, mail: Inbound, now: float) -> None:
        """A frame from a peer. Frames of other roles, late or doubled ones are ignored."""
        ...

    def peer_lost(self, peer: PeerId, now: float) -> None:
        """Forget everything that only this peer wanted."""
        ...

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call."""
        ...

    def counters(self) -> tuple[tuple[str, int], ...]:
        """Monotonic counts for the load report."""
        ...

    def load(self) -> RoleLoad:
        """Its part of the load; pulls are handed out once."""
        ...

    def turnover(self) -> int:
        """Attempts that came and attempts that went, so far."""
        ...

    def busy(self) -> bool:
        """Whether something moves without a step (a transfer): the loop then polls."""
        ...

    def close(self) -> None:
        """Closes what the role opened (transports). Called once, at the end."""
        ...
