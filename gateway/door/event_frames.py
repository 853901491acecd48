"""Chunks as server-sent events. Most differ in their text alone: those are made from a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from gateway.door.shape import Shape
from gateway.door.usage import Json
from gateway.text.transcript import Piece

MARK = "\ue000text\ue001"
"""Stands for the text in a pattern; of no meaning to anybody, and the same inside JSON."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """An event up to its text, and from there on."""

    head: bytes
    tail: bytes


class EventFrames:
    """Writes the events of one call."""

    def __init__(self, shape: Shape, encoder: msgspec.json.Encoder, *, null_usage: bool) -> None:
        """`null_usage`: clients were promised one on every chunk but the last."""
        self._shape = shape
        self._encoder = encoder
        self._null_usage = null_usage
        self._begun: set[int] = set()
        self._patterns: dict[int, Pattern] = {}

    def event(self, chunk: Json) -> bytes:
        """Any chunk."""
        return b"data: " + self._encoder.encode(chunk) + b"\n\n"

    def next(self, number: int, pieces: Sequence[Piece]) -> bytes:
        """What sequence `number` adds: an event for each piece that is not empty."""
        if len(pieces) == 1:
            return self._next(number, pieces[0])
        return b"".join([self._next(number, piece) for piece in pieces])

    def last(self, number: int, pieces: Sequence[Piece], summary: Json) -> bytes:
        """The same for the end of the last sequence; what is told of all goes with its last piece."""
        return self.next(number, pieces[:-1]) + self.event(self._shape.chunk(number, pieces[-1]) | summary)

    def _next(self, number: int, piece: Piece) -> bytes:
        """The first event of a sequence may look unlike the others."""
        pattern = self._patterns.get(number)
        if pattern is not None and piece.plain:
            return pattern.head + self._encoder.encode(piece.text) + pattern.tail
        if piece.empty:
            return b""
        if number in self._begun and piece.plain:
            head, _, tail = self._whole(number, replace(piece, text=MARK)).partition(MARK.encode())
            self._patterns[number] = Pattern(head[:-1], tail[1:])
            return self._next(number, piece)
        self._begun.add(number)
        return self._whole(number, piece)

    def _whole(self, number: int, piece: Piece) -> bytes:
        chunk = self._shape.chunk(number, piece)
        if self._null_usage:
            chunk["usage"] = None
        return self.event(chunk)
