"""One question to a door, and what a refusal must look like."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.gateway.door.door_kit import CHAT, chat_body

JSON = {"content-type": "application/json"}


async def ask(client: httpx.AsyncClient, path: str, body: bytes | str | dict[str, Any]) -> httpx.Response:
    """One POST; text and bytes go as they are."""
    content = json.dumps(body) if isinstance(body, dict) else body
    return await client.post(path, content=content, headers=JSON)


async def check(answer: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    """Status, shape, id; the text is for a person and not compared."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert (error["code"], bool(error["message"])) == (code, True)
    if param is not None:
        assert error["param"] == param
    assert answer.headers["x-request-id"]


async def check_good(client: httpx.AsyncClient) -> None:
    """The door still answers."""
    answer = await ask(client, CHAT, chat_body())
    assert answer.json()["choices"][0]["message"]["content"] == "hello world"
