"""One streamed chat turn, and what the server says of it: text, usage, times, where its KV came from."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from benchmarks.stream_client import AnswerFailed, Endpoint

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer."""

    text: str
    ttft_s: float
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    pulled_tokens: int
    """Of the cached ones, those that the plan took from another worker."""


def ask(endpoint: Endpoint, messages: Messages, max_tokens: int) -> Turn:
    """A greedy answer, with nobody else asking. Raises AnswerFailed."""
    return asyncio.run(_ask(endpoint, messages, max_tokens))


async def _ask(endpoint: Endpoint, messages: Messages, max_tokens: int) -> Turn:
    body = json.dumps({
        "model": endpoint.model, "messages": messages, "max_tokens": max_tokens, "temperature": 0,
        "stream": True, "stream_options": {"include_usage": True},
    }).encode()  # fmt: skip
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {endpoint.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    async with asyncio.timeout(endpoint.deadline_s):
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        sent_s = time.perf_counter()
        writer.write(head.encode() + body)
        first_s, data = 0.0, b""
        while piece := await reader.read(1 << 16):
            data += piece
            if not first_s and b"data: {" in data:
                first_s = time.perf_counter()
        writer.close()
    if not first_s or b"data: [DONE]" not in data:
        raise AnswerFailed(data[-500:].decode(errors="replace"))
    return _turn(endpoint, events(data), first_s - sent_s)


def events(data: bytes) -> list[dict[str, object]]:
    """The JSON events of an answer, chunked as it came or not."""
    lines = (line for line in data.split(b"\n") if line.startswith(b"data: {"))
    return [json.loads(line[len(b"data: ") :]) for line in lines]


def _turn(endpoint: Endpoint, found: list[dict[str, object]], ttft_s: float) -> Turn:
    text, usage = "", None
    for event in found:
        choices = event.get("choices")
        if isinstance(choices, list) and choices:
            text += choices[0]["delta"].get("content") or ""
        usage = event.get("usage") or usage
    if not isinstance(usage, dict):
        raise AnswerFailed("the answer tells no usage")
    return Turn(
        text=text,
        ttft_s=ttft_s,
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=usage["prompt_tokens_details"]["cached_tokens"],
        completion_tokens=usage["completion_tokens"],
        pulled_tokens=_pulled(endpoint, str(found[0]["id"])),
    )


def _pulled(endpoint: Endpoint, answer: str) -> int:
    """As the plan says that was carried out; 0 where the server explains nothing."""
    url = f"http://{endpoint.host}:{endpoint.port}/v1/requests/{answer}/explain"
    try:
        with urllib.request.urlopen(url, timeout=10.0) as told:
            plan = json.load(told)["sequences"][0]["plan"]
    except urllib.error.HTTPError:
        return 0
    return int(plan["pulled_tokens"]) if plan else 0


def tokens_of(endpoint: Endpoint, messages: Messages) -> list[int]:
    """The prompt that these messages become."""
    request = urllib.request.Request(
        f"http://{endpoint.host}:{endpoint.port}/tokenize",
        json.dumps({"messages": messages}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30.0) as answer:  # noqa: S310  always http
        tokens: list[int] = json.load(answer)["tokens"]
    return tokens
