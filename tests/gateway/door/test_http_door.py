"""What the door does besides the happy path: endings, limits, headers, requests as they are built."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.door.tenant import Tenant
from protocol.errors import BatonError, DeadlineExceeded, EngineFailed, RetriesSpent
from protocol.limits import Limits
from protocol.request import Request
from tests.gateway.door.door_kit import (
    CHAT,
    COMPLETIONS,
    chat_body,
    client_of,
    completion_body,
    events_of,
    metric,
    parts,
    served,
)
from tests.gateway.door.scripted_generator import ScriptedGenerator
from tests.gateway.text.tiny_text import tiny_text


async def built(path: str, headers: dict[str, str] | None = None, **body: Any) -> Request:
    """The request that the generator gets for a body."""
    generator = ScriptedGenerator()
    async with client_of(parts(generator, tenant=Tenant("acme", b"pepper"))) as client:
        answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return generator.requests[0]


async def test_every_knob_reaches_the_request() -> None:
    """Nothing is lost, renamed or defaulted on the way."""
    request = await built(
        COMPLETIONS,
        **completion_body(
            prompt=[7, 8],
            max_tokens=9,
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            min_p=0.1,
            seed=-1,
            presence_penalty=1,
            frequency_penalty=-1,
            repetition_penalty=1.5,
            logit_bias={"9": 2, "3": -1.5},
            logprobs=0,
            priority=5,
            session_id="s1",
        ),
    )
    assert (request.prompt, request.max_tokens, request.priority) == ((7, 8), 9, 5)
    assert (request.tenant, request.session, request.model) == ("acme", "s1", "tiny")
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 40, 0.1)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1.0, -1.0)
    assert (sampling.repetition_penalty, sampling.logprobs) == (1.5, 0)
    assert sampling.logit_bias == ((3, -1.5), (9, 2.0))
    assert sampling.seed == (1 << 64) - 1


async def test_null_is_absent_and_defaults_are_concrete() -> None:
    """All knobs null: the seed is drawn at the door, the limit is what fits, the end of text ends it."""
    names = ["temperature", "top_p", "top_k", "min_p", "n", "stop", "seed", "max_tokens", "logit_bias"]
    nulls = dict.fromkeys([*names, "stream", "tools", "tool_choice", "response_format", "user"])
    chat = await built(CHAT, **chat_body(**nulls))
    assert (chat.sampling.temperature, chat.sampling.top_k, chat.sampling.seed) == (1.0, 0, 1001)
    assert chat.max_tokens == 256 - len(chat.prompt)
    assert chat.stop_tokens == tiny_text().stop_tokens
    assert (await built(COMPLETIONS, **completion_body())).max_tokens == 16
    assert (await built(COMPLETIONS, **completion_body(prompt=[5] * 250))).max_tokens == 6


async def test_the_newer_name_of_the_limit_wins_and_ignore_eos_runs_on() -> None:
    """`max_completion_tokens` before `max_tokens`; no stop tokens with `ignore_eos`."""
    request = await built(CHAT, **chat_body(max_tokens=3, max_completion_tokens=4, ignore_eos=True))
    assert (request.max_tokens, request.stop_tokens) == (4, ())


async def test_a_clients_salt_refines_the_tenants() -> None:
    """It never replaces it: the same salt of another tenant gives another chain."""
    plain = await built(CHAT, **chat_body())
    salted = await built(CHAT, **chat_body(cache_salt="mine"))
    assert plain.salt == b"pepper"
    assert salted.salt not in (plain.salt, b"mine", Tenant("other", b"salt").salt_with("mine"))
    assert salted.salt == (await built(CHAT, **chat_body(cache_salt="mine"))).salt


@pytest.mark.parametrize(
    ("header", "expected"), [(None, 600.0), ("25.5", 25.5), ("1e9", 3600.0), ("inf", 3600.0)]
)
async def test_the_deadline_is_the_clients_own(header: str | None, expected: float) -> None:
    """Its header or ten minutes, less the time that the door took, never without end."""
    headers = {} if header is None else {"x-stainless-read-timeout": header}
    request = await built(CHAT, headers, **chat_body())
    assert expected - 5.0 < request.timeout_s <= expected


async def test_the_session_header_comes_first() -> None:
    """Before the body's names for it."""
    body = chat_body(prompt_cache_key="k")
    assert (await built(CHAT, **body)).session == "k"
    assert (await built(CHAT, {"x-session-id": "h"}, **body)).session == "h"


async def test_ignored_fields_are_told() -> None:
    """Accepted, counted, and named in a header; a null one is not even there."""
    async with client_of(made := parts()) as client:
        answer = await client.post(CHAT, json=chat_body(user="u", x_y={"a": 1}, odd=None, **{"ü\n": 1}))
        assert answer.status_code == 200
        assert answer.headers["x-baton-ignored-fields"] == "user, x_y, ??"
        assert metric(made, "baton_ignored_fields_total", model="tiny") == 3
        options = {"include_usage": True, "continuous_usage_stats": True}
        deeper = await client.post(CHAT, json=chat_body(stream_options=options))
        assert deeper.headers["x-baton-ignored-fields"] == "stream_options.continuous_usage_stats"
        plain = await client.post(CHAT, json=chat_body(response_format={"type": "text"}, store=None))
        assert "x-baton-ignored-fields" not in plain.headers


@pytest.mark.parametrize("stream", [True, False])
async def test_a_stop_string_closes_the_generation(stream: bool) -> None:
    """Cut before it, finish_reason stop, the generator closed though it would go on for ever."""
    generator = ScriptedGenerator("one two STOP ", endless=True)
    async with client_of(parts(generator)) as client:
        answer = await client.post(CHAT, json=chat_body(stop=["STOP", "never"], stream=stream))
    if stream:
        choices = [event["choices"][0] for event in events_of(answer.text)[:-1]]
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        ending, usage = choices[-1]["finish_reason"], events_of(answer.text)[-2]["usage"]
    else:
        choice = answer.json()["choices"][0]
        text, ending, usage = choice["message"]["content"], choice["finish_reason"], answer.json()["usage"]
    assert (text, ending) == ("one two ", "stop")
    assert generator.open == 0
    assert usage["completion_tokens"] == generator.told


async def test_one_of_n_stops_alone() -> None:
    """A choice whose text has ended is closed; the others go on to their own end."""
    generator = ScriptedGenerator(reply=lambda r: "STOP" + " no" * 20 if r.sampling.choice else " yes" * 9)
    async with client_of(parts(generator)) as client:
        answer = await client.post(CHAT, json=chat_body(stop="STOP", n=2))
    contents = [choice["message"]["content"] for choice in answer.json()["choices"]]
    assert contents == [" yes" * 9, ""]
    assert generator.open == 0


async def test_one_of_n_fails_and_all_are_closed() -> None:
    """A call has one answer: half of it is none."""
    generator = ScriptedGenerator(fails=RetriesSpent("no luck"), fails_after=1)
    async with client_of(parts(generator)) as client:
        answer = await client.post(CHAT, json=chat_body(n=4))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "retries_spent")
    assert generator.open == 0


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (DeadlineExceeded("late"), 504, ("x-should-retry", "false")),
        (RetriesSpent("no"), 503, ("retry-after", "1")),
        (EngineFailed("crash"), 500, None),
        (BatonError("odd"), 500, ("x-should-retry", "false")),
        (ZeroDivisionError("a bug"), 500, ("x-should-retry", "false")),
    ],
)
async def test_failures_before_the_first_byte_have_their_status(
    error: BatonError | Exception, status: int, header: tuple[str, str] | None
) -> None:
    """Streamed or not; a bug's own text stays inside."""
    for stream in (True, False):
        async with client_of(parts(ScriptedGenerator(fails=error))) as client:
            answer = await client.post(CHAT, json=chat_body(stream=stream))
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert "a bug" not in answer.text
        if header is not None:
            assert answer.headers[header[0]] == header[1]


@pytest.mark.parametrize("error", [RetriesSpent("no"), ZeroDivisionError("a bug")])
async def test_failures_after_the_first_byte_are_the_last_event(error: Exception) -> None:
    """And `[DONE]` never comes."""
    generator = ScriptedGenerator(fails=error, fails_after=2)
    async with client_of(parts(generator)) as client:
        answer = await client.post(CHAT, json=chat_body(stream=True))
    events = events_of(answer.text)
    assert answer.status_code == 200
    assert sorted(events[-1]) == ["error"] and "[DONE]" not in events


async def test_an_end_without_a_reason_is_an_error() -> None:
    """Never an empty or shortened success."""
    async with client_of(parts(ScriptedGenerator(ends_early=True))) as client:
        assert (await client.post(CHAT, json=chat_body())).status_code == 500
        streamed = await client.post(CHAT, json=chat_body(stream=True))
        assert "[DONE]" not in streamed.text and "error" in streamed.text


async def test_a_generator_that_hangs_is_given_up() -> None:
    """A second after the deadline the door answers by itself."""
    generator = ScriptedGenerator(pause_s=60.0)
    async with client_of(parts(generator)) as client:
        answer = await client.post(
            CHAT, json=chat_body(), headers={"x-stainless-read-timeout": "0.05"}, timeout=5.0
        )
    assert (answer.status_code, generator.open) == (504, 0)


async def test_more_sequences_than_may_be_open_are_refused_at_once() -> None:
    """503 with Retry-After; and the places come back."""
    made = parts(generator := ScriptedGenerator(), limits=Limits(max_open_requests=2))
    async with client_of(made) as client:
        refused = await client.post(CHAT, json=chat_body(n=3))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert generator.requests == []
        assert (await client.post(CHAT, json=chat_body(n=2))).status_code == 200
    assert metric(made, "baton_open_requests", model="tiny") == 0


async def test_timing_for_those_who_ask() -> None:
    """On the last chunk or in the body: phases, time to first token, pace."""
    async with client_of(parts()) as client:
        headers = {"x-baton-timing": "1"}
        body = (await client.post(CHAT, json=chat_body(), headers=headers)).json()
        stream = await client.post(CHAT, json=chat_body(stream=True), headers=headers)
        plain = (await client.post(CHAT, json=chat_body())).json()
    events = events_of(stream.text)
    for baton in (body["baton"], events[-2]["baton"]):
        assert baton["timing"].keys() == {"door", "prefill", "transfer"}
        assert baton["timing"]["prefill"] == 0.25
        assert baton["ttft_s"] >= baton["timing"]["door"] >= 0
        assert baton["tokens_per_s"] > 0
    assert not any("baton" in event for event in events[:-2])
    assert "baton" not in plain


async def test_a_model_without_a_chat_format() -> None:
    """Completions work, chat is refused by name."""
    made = parts(text=replace(tiny_text(), template=None))
    async with client_of(made) as client:
        refused = await client.post(CHAT, json=chat_body())
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_feature")
        assert (await client.post(COMPLETIONS, json=completion_body())).status_code == 200


async def test_logprobs_that_json_cannot_write_are_bounded() -> None:
    """What cannot happen has a very low number, not infinity."""
    made = parts(ScriptedGenerator("a"))
    async with client_of(made) as client:
        body = chat_body(logprobs=True, top_logprobs=20)
        answer = await client.post(CHAT, json=body)
    assert "null" not in json.dumps(answer.json()["choices"][0]["logprobs"]["content"])


async def test_a_real_server_starts_and_stops_the_application() -> None:
    """Lifespan messages are answered, and large bodies go through the executor."""
    async with served(parts()) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        body = chat_body(user="x" * 50_000)
        assert (await client.post(CHAT, json=body)).status_code == 200
