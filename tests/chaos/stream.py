"""One streamed answer of /v1/completions over a bare socket, token by token, however it ends."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.chaos.talks import TOP_K

LINE_BYTES = 1 << 20
EVENT = b"data: "
HTML = b"<html"


class End(Enum):
    """How an attempt ended."""

    DONE = "done"
    REFUSED = "refused"
    """Nobody listens."""
    BROKEN = "broken"
    """The connection ended without `[DONE]`."""
    ERROR = "error"
    """A typed error, before the first byte or as an event."""
    AWAY = "away"
    """The balancer in front of the gateways says that it reaches none, or lost the one it had reached."""
    LATE = "late"
    """Nothing came for too long."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call."""

    prompt: str
    tokens: int
    temperature: float
    seed: int
    salt: str
    tops: int
    """How many alternatives to each token are told: 0, or more where margins are measured."""

    def body(self, model: str) -> bytes:
        """The JSON of the call."""
        return json.dumps({
            "model": model,
            "prompt": self.prompt,
            "max_tokens": self.tokens,
            "temperature": self.temperature,
            "top_k": TOP_K if self.temperature else -1,
            "seed": self.seed,
            "logprobs": self.tops,
            "ignore_eos": True,
            "stream": True,
            "cache_salt": self.salt,
        }).encode()  # fmt: skip


@dataclass(slots=True)
class Heard:
    """What came of one attempt."""

    began_s: float
    end: End = End.BROKEN
    ended_s: float = 0.0
    code: str = ""
    message: str = ""
    text: str = ""
    tokens: list[str] = field(default_factory=list)
    tops: list[dict[str, float]] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)

    def longest_gap_s(self) -> float:
        """Between two parts of the answer."""
        gaps = [after - before for before, after in zip(self.arrived_s, self.arrived_s[1:], strict=False)]
        return max(gaps, default=0.0)


async def ask(port: int, model: str, question: Question, deadline_s: float) -> Heard:
    """One attempt; nothing is raised."""
    heard = Heard(time.monotonic())
    try:
        async with asyncio.timeout(deadline_s):
            await _talk(port, question.body(model), heard)
    except TimeoutError:
        heard.end = End.LATE
    except OSError:
        pass  # the connection was reset: BROKEN
    heard.ended_s = time.monotonic()
    return heard


async def _talk(port: int, body: bytes, heard: Heard) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LINE_BYTES)
    except OSError:
        heard.end = End.REFUSED
        return
    try:
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        status = await reader.readline()
        if b" 200 " in status:
            await _events(reader, heard)
        elif status:
            answer = await reader.read()
            if HTML in answer.lower():
                heard.end = End.AWAY
            else:
                _error(heard, answer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _events(reader: asyncio.StreamReader, heard: Heard) -> None:
    """Lines that are no events are headers and the sizes of chunks: each event is written as one."""
    while line := await reader.readline():
        if not line.startswith(EVENT) or not line.endswith(b"\n"):
            continue
        if line.startswith(b"data: [DONE]"):
            heard.end = End.DONE
            return
        event = json.loads(line[len(EVENT) :])
        if "error" in event:
            _error(heard, line[len(EVENT) :])
            return
        for choice in event["choices"]:
            _hear(heard, choice)


def _hear(heard: Heard, choice: dict[str, Any]) -> None:
    heard.arrived_s.append(time.monotonic())
    heard.text += choice["text"]
    logprobs = choice["logprobs"] or {}
    heard.tokens += logprobs.get("tokens", [])
    heard.tops += logprobs.get("top_logprobs", [])


def _error(heard: Heard, answer: bytes) -> None:
    heard.end = End.ERROR
    start = answer.find(b"{")
    try:
        error = json.loads(answer[start : answer.rfind(b"}") + 1])["error"]
        heard.code, heard.message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        heard.code, heard.message = "unreadable", answer[-200:].decode(errors="replace")
