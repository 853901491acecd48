"""A light client of /v1/completions: bare sockets, and no parsing but counting `data: {`.

An HTTP library costs over 100 us a token and would be what is measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.figures import Answer

EVENT = b"data: {"
USAGE = re.compile(rb'"completion_tokens"\s*:\s*(\d+)')
READ_BYTES = 1 << 16
TAIL_BYTES = 4096
"""The last event, with the usage, is shorter."""


class AnswerFailed(Exception):
    """The server answered with an error, or stopped before the end."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server answers."""

    port: int
    model: str
    host: str = "127.0.0.1"
    deadline_s: float = 600.0
    """For one answer."""


@dataclass(slots=True)
class Progress:
    """An answer as far as it has come, on the clock of Answer."""

    sent_s: float = field(default_factory=time.perf_counter)
    arrived_s: list[float] = field(default_factory=list)

    def answer(self) -> Answer:
        """What has come counts as the answer, an event as a token; where nothing came, its first token
        would have come now at the earliest."""
        arrived = tuple(self.arrived_s) or (time.perf_counter(),)
        return Answer(self.sent_s, arrived, len(self.arrived_s))


class EventCount:
    """Counts events in bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self.tail = b""

    def feed(self, data: bytes) -> int:
        """How many events begin in this piece; one that is cut in two counts once it is whole."""
        overlap = self.tail[-(len(EVENT) - 1) :]
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        return (overlap + data).count(EVENT)


def request_bytes(endpoint: Endpoint, prompt: Sequence[int], max_tokens: int) -> bytes:
    """A greedy streaming completion that does not end early."""
    body = json.dumps({
        "model": endpoint.model,
        "prompt": list(prompt),
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }).encode()  # fmt: skip
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def stream(
    endpoint: Endpoint, prompt: Sequence[int], max_tokens: int, progress: Progress | None = None
) -> Answer:
    """One answer; `progress` tells meanwhile what has come of it. Raises AnswerFailed, or TimeoutError after
    the endpoint's deadline."""
    progress = progress or Progress()
    async with asyncio.timeout(endpoint.deadline_s):
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        try:
            progress.sent_s = time.perf_counter()
            writer.write(request_bytes(endpoint, prompt, max_tokens))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise AnswerFailed((head + await reader.read(TAIL_BYTES)).decode(errors="replace"))
            return await _events(reader, progress, max_tokens)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def stream_until(endpoint: Endpoint, prompt: Sequence[int], max_tokens: int, until_s: float) -> Answer:
    """One answer, or what has come of it when the event loop's clock says `until_s`."""
    progress = Progress()
    try:
        async with asyncio.timeout_at(until_s):
            return await stream(endpoint, prompt, max_tokens, progress)
    except TimeoutError:
        return progress.answer()


async def _events(reader: asyncio.StreamReader, progress: Progress, max_tokens: int) -> Answer:
    count, arrived = EventCount(), progress.arrived_s
    while data := await reader.read(READ_BYTES):
        events = count.feed(data)
        arrived += [time.perf_counter()] * events
    if b"data: [DONE]" not in count.tail:
        raise AnswerFailed(f"the stream broke: {count.tail[-500:].decode(errors='replace')}")
    found = USAGE.findall(count.tail)
    tokens = int(found[-1]) if found else 0
    if tokens != max_tokens or len(arrived) < 2:
        raise AnswerFailed(f"{tokens} tokens in {len(arrived)} events came, {max_tokens} were asked for")
    return Answer(progress.sent_s, tuple(arrived[:-1]), tokens)  # the last event is the usage


async def stream_all(endpoint: Endpoint, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[Answer]:
    """All at once."""
    return list(await asyncio.gather(*(stream(endpoint, one, max_tokens) for one in prompts)))
