"""Server-sent events made from a pattern are those that would have been made one by one."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.door.event_frames import MARK, EventFrames
from gateway.door.usage import Json
from gateway.text.transcript import Ending, Piece, SpokenToken
from protocol.messages import TokenLogprobs

TEXTS = st.text(max_size=8) | st.just(MARK) | st.just('"text":"')
SPOKEN = (SpokenToken(1, TokenLogprobs(-1.0, ()), 0),)
PIECES = st.builds(Piece, text=TEXTS, tokens=st.sampled_from([(), SPOKEN]))


class FirstDiffers:
    """A shape whose first chunk of each sequence is unlike the others."""

    def __init__(self) -> None:
        self._begun: set[int] = set()

    def chunk(self, number: int, piece: Piece) -> Json:
        """All that a piece says."""
        first = number not in self._begun
        self._begun.add(number)
        ending = piece.ending.value if piece.ending else None
        return {"n": number, "first": first, "text": piece.text, "more": len(piece.tokens), "end": ending}

    def empty_chunk(self) -> Json:
        """Nothing."""
        return {}

    def whole(self, answers: object) -> Json:
        """Not asked for."""
        raise NotImplementedError


def events_in(data: bytes) -> list[Json]:
    """Whole ones, without anything between them."""
    events = data.split(b"\n\n")
    assert events.pop() == b""
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


@given(st.lists(st.tuples(st.integers(0, 2), st.lists(PIECES, max_size=4)), max_size=6), st.booleans())
def test_frames_say_what_chunks_say(said: list[tuple[int, list[Piece]]], null_usage: bool) -> None:
    """Whatever the text, escaped or not, and whichever sequence it is of; the empty say nothing."""
    frames = EventFrames(FirstDiffers(), msgspec.json.Encoder(), null_usage=null_usage)
    plain = FirstDiffers()
    more = {"usage": None} if null_usage else {}
    for number, pieces in said:
        wanted = [plain.chunk(number, piece) | more for piece in pieces if not piece.empty]
        assert events_in(frames.next(number, pieces)) == wanted


def test_the_last_one_carries_the_summary() -> None:
    """It is never made from a pattern."""
    frames = EventFrames(FirstDiffers(), msgspec.json.Encoder(), null_usage=True)
    pieces = [Piece("w"), Piece("x", ending=Ending.STOP)]
    before, last = events_in(frames.last(0, pieces, {"usage": {"a": 1}}))
    assert (before["text"], before["usage"], before["end"]) == ("w", None, None)
    assert (last["text"], last["usage"], last["end"]) == ("x", {"a": 1}, "stop")
