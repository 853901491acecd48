"""Features that Baton does not offer, and names that are its own, are refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.door.door_kit import CHAT, chat_body, client_of, parts
from tests.gateway.door.question import ask, check, check_good

IMAGE = [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"guided_json": ""},
        {"structured_outputs": {"json_object": False}},
        {"functions": [{}]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [{"type": "web_search"}]},
        {"messages": [{"role": "user", "content": IMAGE}]},
        {"echo": True},
        {"best_of": 9},
        {"min_tokens": 1},
        {"stop_token_ids": [1]},
        {"chat_template": "{{ x }}"},
        {"prompt_embeds": "AAAA"},
        {"prompt_logprobs": 1},
        {"bad_words": ["a"]},
        {"allowed_token_ids": [1]},
        {"truncation": "auto"},
    ],
)
async def test_what_is_not_offered_is_refused_by_name(more: dict[str, Any]) -> None:
    """Never ignored in silence: the answer would be another one."""
    async with client_of(parts()) as client:
        answer = await ask(client, CHAT, chat_body(**more))
        await check(answer, 400, "unsupported_feature")
        assert answer.json()["error"]["param"]
        await check_good(client)


@pytest.mark.parametrize("name", ["kv_transfer_params", "worker_id", "salt", "bootstrap_host"])
async def test_internal_names_are_refused(name: str) -> None:
    """A client cannot speak for the router."""
    async with client_of(parts()) as client:
        await check(await ask(client, CHAT, chat_body(**{name: "x"})), 400, "invalid_request", name)


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "text"}, "echo": False, "best_of": 1, "min_tokens": 0},
        {"modalities": ["text"], "truncation": "disabled", "add_generation_prompt": True, "functions": []},
        {"tools": [], "tool_choice": "auto", "function_call": "none"},
    ],
)
async def test_asking_for_nothing_is_fine(more: dict[str, Any]) -> None:
    """Clients send defaults of features that they do not use."""
    async with client_of(parts()) as client:
        answer = await ask(client, CHAT, chat_body(**more))
        assert answer.status_code == 200
        assert "x-baton-ignored-fields" not in answer.headers
