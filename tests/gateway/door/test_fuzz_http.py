"""Whatever a client sends, the door answers, and never with a failure of its own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.door.refused_fields import NOT_OFFERED
from tests.gateway.door.door_kit import CHAT, COMPLETIONS, chat_body, client_of, completion_body, parts
from tests.gateway.door.question import ask, check_good
from tests.gateway.door.scripted_generator import ScriptedGenerator

NAMES = [
    *("messages", "prompt", "tools", "tool_choice", "stop", "n", "logprobs", "top_logprobs", "logit_bias"),
    *("temperature", "seed", "max_tokens", "stream", "stream_options", "response_format", "cache_salt"),
    *("chat_template_kwargs", "session_id", "priority", "model", *NOT_OFFERED),
]
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=5)
keys = st.sampled_from(["role", "content", "type", "text", "function", "name", "include_usage", "1"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)
fields = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)


async def answer_to(path: str, body: bytes | dict[str, Any]) -> int:
    """The status; and a good question afterwards is answered."""
    made = parts(
        generator := ScriptedGenerator(),
    )
    async with client_of(made) as client:
        answer = await ask(client, path, body)
        await check_good(client)
    assert generator.open == 0
    return answer.status_code


@settings(max_examples=150)
@given(
    st.sampled_from([CHAT, COMPLETIONS, "/tokenize"]),
    st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
)
def test_any_values_in_any_fields(path: str, odd: dict[str, Any]) -> None:
    """Answered or refused with a status of the client's own making."""
    body = {**(chat_body() if path == CHAT else completion_body()), **odd}
    assert asyncio.run(answer_to(path, body)) in (200, 400, 404)


@settings(max_examples=60)
@given(st.data())
def test_broken_bytes(data: st.DataObject) -> None:
    """A good body with bytes put in, taken out or changed."""
    body = bytearray(json.dumps(chat_body(stop=["a"], seed=1)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert asyncio.run(answer_to(CHAT, bytes(body))) in (200, 400, 404)
