"""Sessions that clients name: known headers and fields, in one order, and never needed."""

from __future__ import annotations

import pytest

from gateway.door.identity import MAX_SESSION_CHARS, SESSION_HEADERS, session_of
from tests.gateway.door.door_kit import CHAT, chat_body, client_of, parts
from tests.gateway.door.scripted_generator import ScriptedGenerator


@pytest.mark.parametrize("name", SESSION_HEADERS)
async def test_every_known_header_names_the_session(name: str) -> None:
    """As far as the request that the engines see."""
    generator = ScriptedGenerator()
    async with client_of(parts(generator)) as client:
        await client.post(CHAT, json=chat_body(session_id="body"), headers={name: "mine"})
    assert [request.session for request in generator.requests] == ["mine"]


def _named(headers: dict[str, str]) -> str:
    return session_of(lambda header: headers.get(header), "body")


def test_the_first_in_the_list_counts() -> None:
    """Whatever else is sent; then the body; without any there is none."""
    for place, name in enumerate(SESSION_HEADERS):
        given = dict.fromkeys(SESSION_HEADERS[place:], "later") | {name: "first"}
        assert _named(given) == "first"
    assert _named({}) == "body"
    assert session_of(lambda header: None, "") == ""
    assert session_of(lambda header: 999 * "x", "") == MAX_SESSION_CHARS * "x"


@pytest.mark.parametrize("field", ["session_id", "prompt_cache_key"])
async def test_a_field_of_the_body_names_it_where_no_header_does(field: str) -> None:
    """And is not told as ignored."""
    generator = ScriptedGenerator()
    async with client_of(parts(generator)) as client:
        answer = await client.post(CHAT, json=chat_body(**{field: "mine"}))
        assert "x-baton-ignored-fields" not in answer.headers
        wrong = await client.post(CHAT, json=chat_body(**{field: MAX_SESSION_CHARS * "xx"}))
        assert wrong.status_code == 400
    assert [request.session for request in generator.requests] == ["mine"]
