"""Health, readiness, metrics, status, models, tokenizing."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.door.door_kit import CHAT, chat_body, client_of, parts
from tests.gateway.door.scripted_generator import ScriptedGenerator
from tests.gateway.door.still_fleet import StillFleet
from tests.gateway.text.tiny_text import tiny_text

JSON = {"content-type": "application/json"}


async def test_alive_is_not_ready() -> None:
    """Liveness is the process; readiness is the fleet, and says when to ask again."""
    async with client_of(parts(fleet=(fleet := StillFleet(is_ready=False)))) as client:
        assert (await client.get("/health")).status_code == 200
        refused = await client.get("/ready")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["type"] == "service_unavailable"
        fleet.is_ready = True
        assert (await client.get("/ready")).status_code == 200
        assert (await client.head("/ready")).status_code == 200


async def test_metrics_tell_of_the_gateway_and_of_every_worker() -> None:
    """Parsed by Prometheus's own reader."""
    async with client_of(parts(generator := ScriptedGenerator())) as client:
        assert (await client.post(CHAT, json=chat_body())).status_code == 200
        await client.get("/who/knows")
        text = (await client.get("/metrics")).text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["baton_http_requests_total", CHAT, "200"] == 1
    assert samples["baton_http_requests_total", "404", "other"] == 1
    assert samples["baton_time_to_first_token_seconds_count", "tiny"] == 1
    assert samples["baton_inter_token_latency_seconds_count", "tiny"] == generator.told - 1
    assert samples["baton_e2e_request_latency_seconds_count", "tiny"] == 1
    assert samples["baton_generation_tokens_total", "tiny"] == generator.told
    assert samples["baton_prompt_tokens_total", "tiny"] == len(generator.requests[0].prompt)
    assert samples["baton_cached_prompt_tokens_total", "tiny"] == 3
    assert samples["baton_sequences_finished_total", "stop", "tiny"] == 1
    assert samples["baton_request_phase_seconds_count", "door", "tiny"] == 1
    assert samples["baton_request_phase_seconds_count", "flush", "tiny"] == 1
    assert samples["baton_open_requests", "tiny"] == 0
    assert samples[("baton_ready",)] == 1
    assert samples["baton_worker_linked", "p0", "prefill"] == 1
    assert samples["baton_worker_running", "d0", "decode"] == 2
    assert samples["baton_worker_waiting", "d0", "decode"] == 1
    assert samples["baton_worker_kv_blocks", "cache", "d0", "decode"] == 30
    assert samples["baton_kv_transferred_blocks_total", "d0", "decode"] == 12
    assert samples["baton_kv_failed_verifications_total", "d0", "decode"] == 0
    assert ("baton_worker_running", "p0", "prefill") not in samples


async def test_status_shows_the_pools() -> None:
    """Every worker in its pool; one that has not reported has no load."""
    async with client_of(parts()) as client:
        status = (await client.get("/status")).json()
    assert (status["ready"], status["model"], status["max_model_len"]) == (True, "tiny", 256)
    assert [pool["role"] for pool in status["pools"]] == ["decode", "prefill"]
    decode, prefill = (pool["workers"][0] for pool in status["pools"])
    assert decode["load"]["held_blocks"] == {"cache": 30, "free": 30, "request": 40}
    assert (prefill["worker"], prefill["load"]) == ("p0", None)


async def test_tokenize_and_detokenize() -> None:
    """A prompt there and back; a chat as it will be computed."""
    async with client_of(parts(generator := ScriptedGenerator())) as client:
        there = (await client.post("/tokenize", json={"prompt": "a 😀", "return_token_strs": True})).json()
        assert there["count"] == len(there["tokens"]) == len(there["token_strs"])
        assert there["max_model_len"] == 256
        back = await client.post("/detokenize", json={"tokens": there["tokens"]})
        assert back.json() == {"prompt": "a 😀"}
        chat = (await client.post("/tokenize", json=chat_body())).json()
        await client.post(CHAT, json=chat_body())
        assert tuple(chat["tokens"]) == generator.requests[0].prompt
        assert chat["token_strs"] is None
        assert (await client.post("/tokenize", json={"prompt": ""})).status_code == 400
        assert (await client.post("/tokenize", json={"prompt": "a", "model": "b"})).status_code == 404
        assert (await client.post("/detokenize", json={"tokens": [-1]})).status_code == 400
        assert (await client.post("/detokenize", json={"tokens": "a"})).status_code == 400


async def test_chat_and_its_text_give_the_same_tokens() -> None:
    """The chat's prompt is the template's text, tokenized without a second begin-of-text."""
    async with client_of(parts()) as client:
        chat = (await client.post("/tokenize", json=chat_body())).json()["tokens"]
    text = "<|bos|><|user|>hi<|end|><|assistant|>"
    assert tuple(chat) == tiny_text().tokenizer.encode(text, add_special_tokens=False)
