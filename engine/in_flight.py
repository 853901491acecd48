"""Steps that are planned and not committed yet, and whose row is whose."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Seq
from dataclasses import dataclass

from engine.owner import Owner
from engine.sequence import Sequence
from engine.step import Step
from protocol.errors import EngineFailed


@dataclass(frozen=True, slots=True)
class Flight:
    """One step on its way."""

    fence: Owner
    """Holds what the step writes for sequences that are gone."""
    step: Step
    rows: dict[Sequence, int]
    """Row of each sequence in the step, in batch order. A row of nobody is stale: its output is dropped."""


class InFlight:
    """Flights, oldest first; keeps what each sequence has in them. Touched by the engine's thread only."""

    def __init__(self) -> None:
        self._flights: deque[Flight] = deque()
        self._number = 0

    def __len__(self) -> int:
        return len(self._flights)

    def depart(self, step: Step, sequences: Seq[Sequence]) -> None:
        """A step is planned; `sequences`: whose slices they are, in the same order."""
        rows: dict[Sequence, int] = {}
        for sequence, piece in zip(sequences, step.slices, strict=True):
            rows[sequence] = len(rows)
            sequence.in_flight += len(piece.tokens)
            if piece.draw is not None:
                sequence.drawing += 1
        self._number += 1
        self._flights.append(Flight(Owner.fenced(self._number), step, rows))

    def land(self, step: Step) -> Flight:
        """Takes out the oldest step, which is over. Raises EngineFailed if that is not `step`."""
        if not self._flights or self._flights[0].step is not step:
            raise EngineFailed("a step is committed out of order")
        flight = self._flights.popleft()
        for sequence, row in flight.rows.items():
            piece = step.slices[row]
            sequence.in_flight -= len(piece.tokens)
            if piece.draw is not None:
                sequence.drawing -= 1
        return flight

    def carry(self, sequence: Sequence) -> int | None:
        """Row of the newest step that draws this sequence's next token; None if all tokens are known."""
        return self._flights[-1].rows[sequence] if sequence.drawing else None

    def fences(self) -> tuple[Owner, ...]:
        """Of all steps in flight."""
        return tuple(flight.fence for flight in self._flights)

    def leave(self, sequence: Sequence) -> Owner | None:
        """Makes every row of a sequence stale; the fence of the last step that has one."""
        last = None
        for flight in self._flights:
            if flight.rows.pop(sequence, None) is not None:
                last = flight.fence
        sequence.in_flight = sequence.drawing = 0
        return last
