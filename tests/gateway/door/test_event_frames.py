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


def piece(text: str, spoken: bool) -> Piece:
    """One that says something."""
    return Piece(text=text, tokens=SPOKEN if spoken or not text else ())


@given(st.lists(st.tuples(st.integers(0, 2), TEXTS, st.booleans()), max_size=12), st.booleans())
def test_frames_say_what_chunks_say(said: list[tuple[int, str, bool]], null_usage: bool) -> None:
    """Whatever the text, escaped or not, and whichever sequence it is of."""
    frames = EventFrames(FirstDiffers(), msgspec.json.Encoder(), null_usage=null_usage)
    plain = FirstDiffers()
    for number, text, spoken in said:
        one = piece(text, spoken)
        wanted = plain.chunk(number, one) | ({"usage": None} if null_usage else {})
        frame = frames.next(number, one)
        assert frame.startswith(b"data: {") and frame.endswith(b"}\n\n") and frame.count(b"\n") == 2
        assert json.loads(frame[len(b"data: ") :]) == wanted


def test_the_last_one_carries_the_summary() -> None:
    """It is never made from a pattern."""
    frames = EventFrames(FirstDiffers(), msgspec.json.Encoder(), null_usage=True)
    last = frames.last(0, Piece("x", ending=Ending.STOP), {"usage": {"a": 1}})
    assert json.loads(last[len(b"data: ") :])["usage"] == {"a": 1}
    assert json.loads(last[len(b"data: ") :])["end"] == "stop"
