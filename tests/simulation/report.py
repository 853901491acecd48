"""What one run showed."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulation.client import Outcome


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one scenario."""

    seed: int
    outcomes: tuple[Outcome, ...]
    complaints: tuple[str, ...]
    """Every promise that was broken; empty if none was."""
    strikes: int
    replans: int
    trace: int
    """CRC of everything a client saw, and when: equal seeds give equal traces."""

    @property
    def stayed(self) -> int:
        """Clients that could have been answered and did not leave by themselves."""
        return sum(not (outcome.left or outcome.poisoned) for outcome in self.outcomes)

    @property
    def complete(self) -> int:
        """Clients that got their full answer and had not left before."""
        return sum(
            outcome.finish is not None and not (outcome.left or outcome.poisoned) for outcome in self.outcomes
        )

    @property
    def errors(self) -> tuple[str, ...]:
        """Codes of the errors that clients got who stayed."""
        return tuple(o.error for o in self.outcomes if o.error and not (o.left or o.poisoned))
