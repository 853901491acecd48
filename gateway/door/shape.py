"""How an answer looks on the wire: the seam between chat and completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.door.usage import Json
from gateway.text.tool_call import ToolCall
from gateway.text.transcript import Ending, Piece, SpokenToken


@dataclass(slots=True)
class Answer:
    """All pieces of one sequence, for a client that does not stream."""

    parts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    tokens: list[SpokenToken] = field(default_factory=list)
    ending: Ending | None = None

    def add(self, piece: Piece) -> None:
        """The next piece."""
        self.parts.append(piece.text)
        self.calls += piece.calls
        self.tokens += piece.tokens
        self.ending = piece.ending


class Shape(Protocol):
    """Builds the JSON of one call."""

    def chunk(self, number: int, piece: Piece) -> Json:
        """One event of a stream: what sequence `number` adds."""
        ...

    def empty_chunk(self) -> Json:
        """A last event without choices, which carries the usage."""
        ...

    def whole(self, answers: Sequence[Answer]) -> Json:
        """Everything at once."""
        ...
