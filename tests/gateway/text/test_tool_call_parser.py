"""Tool calls are taken out of the text; what is none stays text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.text.tool_call import ToolCall
from gateway.text.tool_call_parser import ToolCallParser

WEATHER = '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}</tool_call>'
PARTS = [WEATHER, "hello ", "<tool", "_call>", "</tool_call>", "{", "<"]
CALL = ToolCall("weather", '{"city": "Köln"}')


def parse(pieces: list[str], limit: int = 8) -> tuple[str, list[ToolCall]]:
    """All text and all calls."""
    parser = ToolCallParser(limit)
    shown = ""
    calls: list[ToolCall] = []
    for piece in pieces:
        text, found = parser.feed(piece)
        shown += text
        calls += found
    return shown + parser.finish(), calls


@given(st.lists(st.sampled_from(PARTS), max_size=6))
def test_the_cut_of_the_text_does_not_matter(parts: list[str]) -> None:
    """Character by character gives what the whole gives."""
    text = "".join(parts)
    assert parse(list(text)) == parse([text])


def test_text_around_calls_is_kept() -> None:
    """Two calls, text before and after."""
    assert parse([f"I ask. {WEATHER}\n{WEATHER} done"]) == ("I ask. \n done", [CALL, CALL])


@pytest.mark.parametrize(
    "inside",
    [
        "not json",
        '{"arguments": {}}',
        '{"name": 3, "arguments": {}}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": {"a": }}',
        '{"name": "f", "arguments": "no object"}',
    ],
)
def test_what_is_no_call_stays_text(inside: str) -> None:
    """Nothing that the model says is lost, and nothing false is called."""
    text = f"a<tool_call>{inside}</tool_call>b"
    assert parse(list(text)) == (text, [])


def test_a_call_that_never_closes_stays_text() -> None:
    """The answer ran out of tokens inside a call."""
    assert parse([WEATHER[:-5]]) == (WEATHER[:-5], [])


def test_arguments_keep_the_models_spelling() -> None:
    """Spaces and number forms are not rewritten; a quoted object is unquoted; none means empty."""
    odd = '{ "n": 1.50, "big": 123456789012345678901234567890 }'
    assert parse([f'<tool_call>{{"name": "f", "arguments": {odd}}}</tool_call>'])[1][0].arguments == odd
    quoted = json.dumps({"name": "f", "arguments": '{"a": 1}'})
    assert parse([f"<tool_call>{quoted}</tool_call>"])[1][0].arguments == '{"a": 1}'
    assert parse(['<tool_call>{"name": "f"}</tool_call>'])[1] == [ToolCall("f", "{}")]


def test_no_more_calls_than_are_wanted() -> None:
    """With parallel calls off, the first call ends the answer."""
    parser = ToolCallParser(1)
    text, calls = parser.feed(WEATHER + WEATHER + "tail")
    assert (text, calls, parser.full, parser.finish()) == ("", (CALL,), True, "")
