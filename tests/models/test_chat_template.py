"""The chat template: what the model reads of a conversation."""

from __future__ import annotations

import json
from typing import Any

from models.chat import BOS, EOS, render, spans

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where."}, "day": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def asked(arguments: str | dict[str, Any]) -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    return [
        {"role": "user", "content": "Weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]


def test_roles_are_marked() -> None:
    """A conversation is its begin token and each turn between its role marker and the end token."""
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    expected = f"{BOS}<|system|>S{EOS}<|user|>U{EOS}<|assistant|>"
    assert render(messages, answer_next=True) == expected


def test_tools_are_listed_in_the_system_turn() -> None:
    """The declared tools stand in the system turn, also when there is no system message."""
    listed = "Tools:\nget_weather: Get the weather.\n- city (string): Where.\n- day (string, optional)"
    assert render([], [WEATHER]) == f"{BOS}<|system|>{listed}{EOS}"
    assert f"<|system|>S\n{listed}{EOS}" in render([{"role": "system", "content": "S"}], [WEATHER])


def test_a_call_reads_the_same_from_text_and_from_a_mapping() -> None:
    """Arguments may be JSON text or a mapping; the call is a JSON object between its markers."""
    arguments = {"city": "Paris"}
    text = render(asked(json.dumps(arguments)), [WEATHER])
    assert text == render(asked(arguments), [WEATHER])
    call = text.split("<tool_call>")[1].split("</tool_call>")[0]
    assert json.loads(call) == {"name": "get_weather", "arguments": arguments}


def test_content_parts_are_joined() -> None:
    """A content given as a list of text parts reads as their texts joined."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert render([{"role": "user", "content": parts}]) == render([{"role": "user", "content": "ab"}])


def test_only_the_assistant_is_learnt() -> None:
    """Training spans give back the rendered text, and exactly the assistant's words are to be learnt."""
    messages = [*asked("{}"), {"role": "assistant", "content": "Sunny."}]
    cut = spans(messages, [WEATHER])
    assert "".join(span.text for span in cut) == render(messages, [WEATHER])
    assert [span.text for span in cut if span.learn] == [
        f'<tool_call>{{"name": "get_weather", "arguments": {{}}}}</tool_call>{EOS}',
        f"Sunny.{EOS}",
    ]
