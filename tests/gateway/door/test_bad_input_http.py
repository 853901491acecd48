"""Every bad input has its status and a body in OpenAI's shape, and the next good question is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.limits import Limits
from tests.gateway.door.door_kit import CHAT, COMPLETIONS, chat_body, client_of, completion_body, parts
from tests.gateway.door.question import JSON, ask, check, check_good
from tests.gateway.door.scripted_generator import ScriptedGenerator

DEEP = "[" * 40 + "]" * 40
MANY = {str(token): 1 for token in range(301)}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"model": "tiny", "model": "tiny", "prompt": "a"}',
        b'{"model": "tiny", "prompt": "a", "temperature": NaN}',
        b'{"model": "tiny", "prompt": "a", "temperature": Infinity}',
        b'{"model": "tiny", "prompt": "a", "temperature": 1e999}',
        b'{"model": "tiny", "prompt": "a", "x": ' + DEEP.encode() + b"}",
        b'{"model": "tiny", "prompt": "a", "x": ' + b"[" * 100_000 + b"}",
        b'{"model": "tiny", "prompt": "\\ud800"}',
        b'{"model": "tiny", "prompt": "a", "user": {"deep": ["\\udfff"]}}',
        b'{"model": "tiny", "prompt": "a\\u0000b"}',
        b'{"model": "tiny", "prompt": "a\x00b"}',
        b'{"model": "tiny", "prompt": "\xff"}',
        b'{"model": "tiny", "prompt": "a", "seed": ' + b"9" * 5000 + b"}",
        b'["model"]',
        b"null",
    ],
)
async def test_bodies_that_are_not_proper_json(body: bytes) -> None:
    """Not JSON, duplicate keys, NaN, depth, surrogates, NUL: 400."""
    async with client_of(parts()) as client:
        await check(await ask(client, COMPLETIONS, body), 400, "invalid_request")
        await check_good(client)


BAD_KNOBS: dict[str, list[Any]] = {
    "temperature": [-0.1, 2.1, True, "1"],
    "top_p": [0, -1, 1.01, False, "0.5"],
    "min_p": [-0.1, 1.1, True],
    "top_k": [-2, 1.5, True, "3"],
    "presence_penalty": [-2.1, 2.1, "0"],
    "frequency_penalty": [-2.1, 2.1, True],
    "repetition_penalty": [0, -1, 2.1, "1"],
    "seed": [1 << 64, -(1 << 63) - 1, 1.5, True, "7"],
    "n": [0, 9, 100_000_000, True, "2"],
    "max_tokens": [0, -1, 1.0, True, "5"],
    "stop": ["", ["a", ""], ["a"] * 5, "x" * 65, 3, [3], True],
    "stream": [1, "true"],
    "stream_options": [1, []],
    "logit_bias": [[], {"x": 1}, {"01": 1}, {"2048": 1}, {"-1": 1}, {"²": 1}, {"1": 101}, {"1": True}, MANY],
    "priority": [101, -101, 1.5, "high"],
    "cache_salt": [7, "x" * 129],
    "ignore_eos": [1, "yes"],
    "model": [5, None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in BAD_KNOBS for value in BAD_KNOBS[name]]
)
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
async def test_knobs_out_of_range_or_of_another_type(path: str, name: str, value: Any) -> None:
    """400 that names the field, in both APIs alike; no request is made of it."""
    generator = ScriptedGenerator()
    body = chat_body() if path == CHAT else completion_body()
    async with client_of(parts(generator)) as client:
        answer = await ask(client, path, {**body, name: value})
        await check(answer, 400, "invalid_request")
        assert answer.json()["error"]["param"].startswith(name)
        assert generator.requests == []
        await check_good(client)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": [[1], ["a"]]}, "prompt"),
        ({"prompt": [2048]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [[1, 2], [99_999]]}, "prompt"),
        ({"prompt": ["a"] * 65}, "prompt"),
    ],
)
async def test_prompts_that_are_none(more: dict[str, Any], param: str) -> None:
    """Empty, mixed, outside the vocabulary, too many."""
    async with client_of(parts()) as client:
        await check(await ask(client, COMPLETIONS, completion_body(**more)), 400, "invalid_request", param)
        await check_good(client)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "king", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, None),
        ({"messages": [{"role": "user", "content": "a"}] * 4097}, "messages"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": 1}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [TOOL] * 257}, "tools"),
        ({"tools": [TOOL], "tool_choice": "often"}, "tool_choice"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({"chat_template_kwargs": {"thinking": []}}, "chat_template_kwargs.thinking"),
    ],
)
async def test_chats_that_are_none(more: dict[str, Any], param: str | None) -> None:
    """400 that names the place."""
    async with client_of(parts()) as client:
        await check(await ask(client, CHAT, chat_body(**more)), 400, "invalid_request", param)
        await check_good(client)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "unknown_path"),
        ("POST", "/v1/chat/completions/", 404, "unknown_path"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/v1/models/other", 404, "model_not_found"),
        ("GET", "/health?" + "x" * 9000, 414, "url_too_long"),
    ],
)
async def test_paths_and_verbs(method: str, path: str, status: int, code: str) -> None:
    """404, 405 with the verbs that are right, 414."""
    async with client_of(parts()) as client:
        answer = await client.request(method, path)
        await check(answer, status, code)
        assert (status == 405) == ("allow" in answer.headers)
        await check_good(client)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
        ({**JSON, "x-long": "y" * 17_000}, 431, "headers_too_large"),
        ({**JSON, "x-stainless-read-timeout": "soon"}, 400, "invalid_request"),
        ({**JSON, "x-stainless-read-timeout": "nan"}, 400, "invalid_request"),
        ({**JSON, "x-stainless-read-timeout": "0"}, 408, "past_deadline"),
        ({**JSON, "x-stainless-read-timeout": "-5"}, 408, "past_deadline"),
    ],
)
async def test_headers(headers: dict[str, str], status: int, code: str) -> None:
    """Content type, size, deadline; a lapsed deadline is not worth sending again."""
    async with client_of(parts()) as client:
        answer = await client.post(CHAT, content=json.dumps(chat_body()), headers=headers)
        await check(answer, status, code)
        assert (status == 408) == (answer.headers.get("x-should-retry") == "false")
        await check_good(client)


async def test_an_unknown_model() -> None:
    """404 with OpenAI's code."""
    async with client_of(parts()) as client:
        await check(await ask(client, CHAT, chat_body(model="gpt")), 404, "model_not_found", "model")


async def test_a_body_that_is_too_large() -> None:
    """413, whether the client says so at once or only sends more and more."""
    async with client_of(parts(limits=Limits(max_body_bytes=1000))) as client:
        long = json.dumps(chat_body(user="x" * 2000)).encode()
        await check(await ask(client, CHAT, long), 413, "body_too_large")

        async def pieces() -> Any:
            yield long[:900]
            yield long[900:]

        unannounced = await client.post(CHAT, content=pieces(), headers=JSON)
        assert "content-length" not in unannounced.request.headers
        await check(unannounced, 413, "body_too_large")
        await check_good(client)


@pytest.mark.parametrize(("max_tokens", "needs"), [(250, "257 (7 in the prompt + 250 for"), (None, None)])
async def test_context_overflow_has_the_text_that_frameworks_look_for(
    max_tokens: int | None, needs: str | None
) -> None:
    """Both numbers, the exact words, the code."""
    prompt = [5] * 7 if needs else [5] * 256
    async with client_of(parts()) as client:
        answer = await ask(client, COMPLETIONS, completion_body(prompt=prompt, max_tokens=max_tokens))
        await check(answer, 400, "context_length_exceeded", "prompt")
        assert answer.json()["error"]["message"] == (
            "This model's maximum context length is 256 tokens, but your request needs "
            f"{needs or '257 (256 in the prompt + 1 for'} max_tokens): "
            "prompt is too long. [context_length_exceeded]"
        )
        assert answer.json()["error"]["type"] == "invalid_request_error"
        await check_good(client)


@pytest.mark.parametrize("asked", ["x" * 65, "a b", "a/b", "ü", ""])
async def test_a_strange_request_id_is_replaced(asked: str) -> None:
    """It is never echoed; a proper one is."""
    async with client_of(parts()) as client:
        answer = await client.get("/health", headers=[(b"x-request-id", asked.encode())])
        assert answer.headers["x-request-id"] == "id1"
        kept = await client.get("/health", headers={"x-request-id": "a-B_9"})
        assert kept.headers["x-request-id"] == "a-B_9"
