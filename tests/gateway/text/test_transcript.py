"""Events become pieces: text, calls, log-probabilities, and one ending."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.generator import TokenEvent
from gateway.text.tool_call_parser import ToolCallParser
from gateway.text.transcript import Ending, Piece, Transcript
from protocol.messages import FinishReason, TokenLogprobs
from tests.gateway.text.tiny_text import tiny_text

END = tiny_text().stop_tokens
CALL = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'


def events(
    tokens: tuple[int, ...], sizes: list[int], finish: FinishReason, logprobs: bool
) -> list[TokenEvent]:
    """The tokens in events of the given sizes, and all that is left in the last."""
    made: list[TokenEvent] = []
    at = 0
    for size in [*sizes, len(tokens)]:
        part = tokens[at : at + size]
        at += len(part)
        last = at == len(tokens)
        known = tuple(TokenLogprobs(-1.0, ()) for _ in part) if logprobs else ()
        made.append(TokenEvent(at - len(part), part, known, finish if last else None, 0))
        if last:
            break
    return made


def tell(
    text: str,
    *,
    stops: tuple[str, ...] = (),
    sizes: tuple[int, ...] = (),
    finish: FinishReason = FinishReason.STOP,
    logprobs: bool = False,
    max_calls: int = 0,
) -> tuple[list[Piece], int]:
    """The pieces of an answer, up to its ending, and the number of its tokens."""
    tokenizer = tiny_text().tokenizer
    tokens = tokenizer.encode(text, add_special_tokens=False)
    tokens += END if finish is FinishReason.STOP else ()
    tools = ToolCallParser(max_calls) if max_calls else None
    transcript = Transcript(tokenizer.detokenizer(()), stops, END, tools)
    pieces: list[Piece] = []
    for event in events(tokens, list(sizes), finish, logprobs):
        pieces.append(transcript.feed(event))
        if pieces[-1].ending is not None:
            break
    return pieces, transcript.completion_tokens


def text_of(pieces: list[Piece]) -> str:
    """All that was shown."""
    return "".join(piece.text for piece in pieces)


@given(st.text(max_size=40), st.lists(st.integers(1, 4), max_size=10))
def test_events_of_any_size_tell_the_same(text: str, sizes: list[int]) -> None:
    """How a step's tokens are grouped shows nowhere but in the pieces' sizes."""
    whole, count = tell(text)
    pieces, count_again = tell(text, sizes=tuple(sizes))
    assert text_of(pieces) == text_of(whole) == text
    assert count_again == count
    assert [piece.ending for piece in pieces][-1] is Ending.STOP
    assert not any(piece.ending for piece in pieces[:-1])


def test_a_stop_string_ends_the_answer_and_the_count() -> None:
    """Tokens behind the stop string are neither shown nor counted."""
    pieces, count = tell("one two STOP three", stops=("STOP",), sizes=(1,) * 30)
    assert text_of(pieces) == "one two "
    assert pieces[-1].ending is Ending.STOP
    assert count < tell("one two STOP three")[1]
    together, count_together = tell("one two STOP three", stops=("STOP",))
    assert (text_of(together), count_together) == ("one two ", count)


def test_held_text_comes_out_when_the_answer_ends_otherwise() -> None:
    """Half a stop string at the very end is text."""
    pieces, _ = tell("one ST", stops=("STOP",), finish=FinishReason.LENGTH)
    assert (text_of(pieces), pieces[-1].ending) == ("one ST", Ending.LENGTH)


@pytest.mark.parametrize("sizes", [(), (1,) * 60])
def test_a_tool_call_ends_as_tool_calls(sizes: tuple[int, ...]) -> None:
    """Whole in one piece, however it came; without it the ending is stop."""
    pieces, _ = tell("Let me see. " + CALL, sizes=sizes, max_calls=8)
    assert text_of(pieces) == "Let me see. "
    assert [call.name for piece in pieces for call in piece.calls] == ["f"]
    assert pieces[-1].ending is Ending.TOOL_CALLS
    assert tell("no call", max_calls=8)[0][-1].ending is Ending.STOP


def test_one_call_is_enough_when_only_one_is_wanted() -> None:
    """The answer ends with the call, whatever the model would go on to say."""
    pieces, count = tell(CALL + CALL + " and more", sizes=(1,) * 90, max_calls=1)
    assert sum(len(piece.calls) for piece in pieces) == 1
    assert pieces[-1].ending is Ending.TOOL_CALLS
    assert count < tell(CALL + CALL)[1]


def test_a_truncated_call_is_text_and_length() -> None:
    """Running out of tokens inside a call is no call."""
    pieces, _ = tell(CALL[:-6], finish=FinishReason.LENGTH, max_calls=8)
    assert (text_of(pieces), pieces[-1].ending) == (CALL[:-6], Ending.LENGTH)


@given(st.text(max_size=30), st.lists(st.integers(1, 4), max_size=10), st.sampled_from([(), ("never said",)]))
def test_a_piece_for_each_token_tells_the_same(text: str, sizes: list[int], stops: tuple[str, ...]) -> None:
    """Whether or not there is anything to look for in the text, and as many pieces as tokens."""
    tokenizer = tiny_text().tokenizer
    tokens = tokenizer.encode(text, add_special_tokens=False) + END
    transcript = Transcript(tokenizer.detokenizer(()), stops, END)
    pieces: list[Piece] = []
    for event in events(tokens, sizes, FinishReason.STOP, False):
        pieces += transcript.feed_by_token(event)
    assert (text_of(pieces), pieces[-1].ending) == (text, Ending.STOP)
    assert len(pieces) == transcript.completion_tokens == len(tokens)


@given(st.text(max_size=30), st.lists(st.integers(1, 4), max_size=10))
def test_every_token_of_a_full_answer_has_its_logprob(text: str, sizes: list[int]) -> None:
    """In order, once each, with the offset where its text begins."""
    pieces, count = tell(text, sizes=tuple(sizes), stops=("never said",), logprobs=True)
    spoken = [token for piece in pieces for token in piece.tokens]
    assert len(spoken) == count
    assert [token.offset for token in spoken] == sorted(token.offset for token in spoken)


def test_logprobs_do_not_tell_a_stop_string_early() -> None:
    """They wait with their text, and those of the stop string never come."""
    pieces, _ = tell("ab STOP", sizes=(1,) * 20, stops=("STOP",), logprobs=True)
    tokenizer = tiny_text().tokenizer
    shown = ""
    for piece in pieces:
        shown += piece.text
        told = b"".join(tokenizer.token_bytes(token.token) for token in piece.tokens).decode()
        assert told in shown
    assert shown == "ab "


@given(st.text(max_size=20), st.lists(st.integers(1, 4), max_size=6), st.booleans(), st.booleans())
def test_an_event_says_the_same_token_by_token(
    text: str, sizes: list[int], ended: bool, logprobs: bool
) -> None:
    """Fed token by token, an event adds the same text, records and ending."""
    finish = FinishReason.STOP if ended else FinishReason.LENGTH
    tokens = tiny_text().tokenizer.encode(text, add_special_tokens=False) + (END if ended else ())
    told = []
    for split in (False, True):
        transcript = Transcript(tiny_text().tokenizer.detokenizer(()), (), END, None)
        made = events(tokens, sizes, finish, logprobs)
        pieces: list[Piece] = []
        for event in made:
            pieces += transcript.feed_by_token(event) if split else [transcript.feed(event)]
        assert not split or len(pieces) >= len(tokens)
        said = "".join(piece.text for piece in pieces)
        spoken = [token for piece in pieces for token in piece.tokens]
        told.append((said, spoken, pieces[-1].ending, transcript.completion_tokens))
    assert told[0] == told[1]
