"""The seam between a host and what it drives: the engine with its roles, passive and in one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.runner import Pending
from engine.step import Step, StepResult
from protocol.mail import EngineFacts, EngineInbox, EngineOutbox


class StepCore(Protocol):
    """Never sleeps, waits, spawns or reads a clock. Whatever it raises ends the engine: a core
    that raised is never called again, except for `close`."""

    @property
    def lookahead(self) -> int:
        """Steps that may be planned and launched before the oldest one in flight is committed."""
        ...

    def deliver(self, batch: list[EngineInbox], now: float) -> None:
        """Takes mail, in order. Never sees Stop: ending is the host's affair."""
        ...

    def attend(self, now: float) -> None:
        """Moves what goes on beside steps; `plan` does so as well."""
        ...

    def plan(self, now: float) -> Step | None:
        """The next step, or None when there is nothing to compute, perhaps until a step in flight is over."""
        ...

    def launch(self, step: Step) -> Pending:
        """Starts the step that was planned last."""
        ...

    def commit(self, step: Step, result: StepResult, now: float) -> None:
        """Applies what the oldest step in flight produced."""
        ...

    def take_outbox(self) -> list[EngineOutbox]:
        """Mail since the last call."""
        ...

    def idle_wait_s(self, now: float) -> float:
        """Seconds that the host may wait for mail while nothing is to be planned."""
        ...

    def facts(self) -> EngineFacts:
        """What this engine serves."""
        ...

    def check(self) -> None:
        """Adds up the blocks by owner. Raises EngineFailed if they do not."""
        ...

    def close(self) -> None:
        """Frees memory and transfer agents."""
        ...


CoreFactory = Callable[[], StepCore]
"""Loads the model. Raises UnsupportedModel, InvalidSpec or another BatonError; may take minutes."""
