"""GET /v1/requests/{id}/explain: where a request went and why, for whoever asked it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.door.call_log import MAX_ENDED
from gateway.door.door_parts import DoorParts
from gateway.door.tenant import Tenant
from tests.gateway.door.door_kit import CHAT, COMPLETIONS, chat_body, client_of, completion_body, parts, until
from tests.gateway.fake_worker import FakeWorker
from tests.gateway.gateway_scene import Scene, scene


@asynccontextmanager
async def door_before(made: Scene) -> AsyncIterator[tuple[DoorParts, httpx.AsyncClient]]:
    """A door in front of a real gateway, fleet and fake workers."""
    gateway = made.gateway
    found = replace(parts(), generator=gateway, logbook=gateway.logbook, clock=made.clock)
    async with client_of(found) as client:
        yield found, client


def workers() -> tuple[FakeWorker, ...]:
    """One prefill and two decode workers."""
    decoders = [FakeWorker(f"decode-{number}", "decode") for number in range(2)]
    return (FakeWorker("prefill-0", "prefill"), *decoders)


async def explained(client: httpx.AsyncClient, name: str) -> Any:
    """The answer to the question."""
    answer = await client.get(f"/v1/requests/{name}/explain")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_finished_request_is_explained_by_each_of_its_names() -> None:
    """The plan, its rivals, what was predicted, and what really happened, to 1 % of the whole time."""
    async with scene(*workers()) as made, door_before(made) as (_, client):
        headers = {"x-request-id": "mine-1", "x-session-id": "s7"}
        answer = await client.post(CHAT, json=chat_body(max_tokens=8), headers=headers)
        assert answer.status_code == 200
        body = await explained(client, "mine-1")
        assert body == await explained(client, answer.json()["id"])
        assert (body["request_id"], body["ended"]) == ("mine-1", True)
        (sequence,) = body["sequences"]
        assert (sequence["state"], sequence["session"]) == ("finished", "s7")
        assert sum(sequence["phases"].values()) == pytest.approx(sequence["seconds"], rel=0.01)
        assert {"door", "queue", "plan", "reserve", "first_token", "decode", "flush"} <= set(
            sequence["phases"]
        )
        assert sequence["plan"]["prefill"] == "prefill-0"
        assert sequence["plan"]["decode"] in ("decode-0", "decode-1")
        assert [plan["decode"] != sequence["plan"]["decode"] for plan in sequence["runners_up"]] == [True]
        assert sequence["predicted"]["until_first_token"] == sequence["plan"]["first_token"] > 0.0
        assert (sequence["attempts"], sequence["generated_tokens"]) == (1, 8)


async def test_every_choice_of_a_call_is_explained() -> None:
    """Streamed or whole; each sequence has its own time."""
    async with scene(*workers()) as made, door_before(made) as (_, client):
        body = completion_body(max_tokens=4, n=2, stream=True)
        answer = await client.post(COMPLETIONS, json=body, headers={"x-request-id": "two"})
        assert "[DONE]" in answer.text
        sequences = (await explained(client, "two"))["sequences"]
        assert [one["id"].rpartition("-")[2] for one in sequences] == ["0", "1"]
        for one in sequences:
            assert sum(one["phases"].values()) == pytest.approx(one["seconds"], rel=0.01)


async def test_a_lost_attempt_says_why() -> None:
    """Which worker it was, and the error's code; the sum stays whole."""
    made_of = workers()
    made_of[1].dies_at_token = made_of[2].dies_at_token = 3
    async with scene(*made_of) as made, door_before(made) as (_, client):
        answer = await client.post(CHAT, json=chat_body(max_tokens=8), headers={"x-request-id": "lost"})
        assert answer.status_code == 200
        (sequence,) = (await explained(client, "lost"))["sequences"]
        assert (sequence["state"], sequence["attempts"]) == ("finished", 2)
        losses = [one["lost"] for one in sequence["last_attempts"] if one["lost"]]
        assert losses[0]["code"] == "worker_lost"
        assert losses[0]["worker"] in ("decode-0", "decode-1")
        assert sum(sequence["phases"].values()) == pytest.approx(sequence["seconds"], rel=0.01)


async def test_an_open_request_is_explained_as_it_stands() -> None:
    """While it waits for a place, and after its client has left."""
    made_of = workers()
    for worker in made_of:
        worker.frozen = True
    async with scene(*made_of) as made, door_before(made) as (found, client):
        asking = asyncio.create_task(
            client.post(CHAT, json=chat_body(max_tokens=8), headers={"x-request-id": "open"})
        )
        await until(lambda: found.calls.find("default", "open") is not None)
        await asyncio.sleep(0.05)
        body = await explained(client, "open")
        assert body["ended"] is False
        (sequence,) = body["sequences"]
        assert (sequence["state"], sequence["plan"]) == ("waiting", None)
        assert sequence["seconds"] >= 0.05
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_an_unknown_request_is_not_found_and_says_what_to_do() -> None:
    """In OpenAI's shape; also for another tenant's, whose existence is nobody's business."""
    async with scene(*workers()) as made, door_before(made) as (found, client):
        await client.post(CHAT, json=chat_body(max_tokens=2), headers={"x-request-id": "mine"})
        other = replace(found, tenant=Tenant("other"), metrics=parts().metrics)
        async with client_of(other) as stranger:
            for asker, name in ((client, "nobody"), (stranger, "mine")):
                answer = await asker.get(f"/v1/requests/{name}/explain")
                assert answer.status_code == 404
                error = answer.json()["error"]
                assert (error["type"], error["code"]) == ("invalid_request_error", "request_not_found")
                assert "x-request-id" in error["message"]
        assert (await explained(client, "mine"))["request_id"] == "mine"
        assert (await client.post("/v1/requests/mine/explain")).status_code == 405


async def test_the_memory_is_bounded() -> None:
    """The oldest are forgotten, by all of their names."""
    async with scene(*workers()) as made, door_before(made) as (found, client):
        await client.post(CHAT, json=chat_body(max_tokens=1), headers={"x-request-id": "oldest"})
        note = found.calls.find("default", "oldest")
        assert note is not None
        for number in range(MAX_ENDED):
            other = replace(note, id=f"x{number}", request_id=f"y{number}")
            found.calls.begin(other)
            found.calls.end(other, 0.0)
        for name in ("oldest", note.id, f"chatcmpl-{note.id}"):
            assert (await client.get(f"/v1/requests/{name}/explain")).status_code == 404
        assert found.calls.find("default", "y0") is not None
