"""One turn of a chat over the OpenAI endpoint: the text as it comes, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import msgspec

from cluster.endpoint import CONNECT_S, explained, unreachable
from protocol.errors import BatonError, error_from_code

TIMING_HEADERS = {"x-baton-timing": "1"}
SILENCE_S = 120.0
"""Longest wait for the next bytes."""


class Message(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: str
    content: str


class Timing(msgspec.Struct, frozen=True):
    """Where the time of a turn went, in seconds, as the gateway measured it."""

    timing: dict[str, float]
    ttft_s: float | None
    tokens_per_s: float


class PromptDetails(msgspec.Struct, frozen=True):
    """Of the prompt's tokens."""

    cached_tokens: int = 0


class Usage(msgspec.Struct, frozen=True):
    """What a turn used."""

    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: PromptDetails = PromptDetails()


class Delta(msgspec.Struct, frozen=True):
    """New text, and perhaps tool calls, which are shown as they are."""

    content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class Choice(msgspec.Struct, frozen=True):
    """The one answer."""

    delta: Delta


class Failure(msgspec.Struct, frozen=True):
    """An error within the stream."""

    message: str
    code: str | None = None


class Chunk(msgspec.Struct, frozen=True):
    """One event of the stream."""

    choices: list[Choice] = []
    usage: Usage | None = None
    baton: Timing | None = None
    error: Failure | None = None


class ChatTurn:
    """Iterate `text()` to its end; then `usage` and `timing` are there."""

    def __init__(self, endpoint: str, model: str, max_tokens: int, temperature: float) -> None:
        self._endpoint = endpoint
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self.usage: Usage | None = None
        self.timing: Timing | None = None

    def text(self, messages: list[Message]) -> Iterator[str]:
        """Pieces of the answer. Raises one BatonError if it does not end well."""
        body = {
            "model": self._model,
            "messages": [msgspec.to_builtins(message) for message in messages],
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        url = f"{self._endpoint}/v1/chat/completions"
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        try:
            with httpx.stream(
                "POST", url, json=body, headers=TIMING_HEADERS, timeout=timeout, trust_env=False
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise explained(answer)
                yield from self._pieces(answer)
        except httpx.HTTPError as wrong:
            raise unreachable(self._endpoint, wrong) from wrong

    def _pieces(self, answer: httpx.Response) -> Iterator[str]:
        for line in answer.iter_lines():
            if line == "data: [DONE]":
                return
            if line.startswith("data: "):
                yield from self._take(line[len("data: ") :])
        raise BatonError("the connection broke before the answer was complete; sending it again may help")

    def _take(self, data: str) -> Iterator[str]:
        try:
            chunk = msgspec.json.decode(data, type=Chunk)
        except msgspec.MsgspecError as wrong:
            raise BatonError(f"the gateway sent something else than a chat chunk: {wrong}") from wrong
        if chunk.error is not None:
            raise error_from_code(chunk.error.code or "internal_error", chunk.error.message)
        self.usage = chunk.usage or self.usage
        self.timing = chunk.baton or self.timing
        for choice in chunk.choices:
            if choice.delta.content:
                yield choice.delta.content
            for call in choice.delta.tool_calls or ():
                yield bytes(call).decode()
