"""The client that all systems are measured with."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.stream_client import AnswerFailed, Endpoint, EventCount, stream, stream_all, stream_until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
TOKENS = [b'data: {"choices":[{"text":" w%d"}]}\n\n' % number for number in range(3)]
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3}}\n\n'
END = b"data: [DONE]\n\n"
WHOLE = b"".join([*TOKENS, USAGE, END])


@asynccontextmanager
async def answering(*parts: bytes) -> AsyncIterator[Endpoint]:
    """A server that sends these bytes to everyone."""
    ended = asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.release()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Endpoint(server.sockets[0].getsockname()[1], "m", deadline_s=10.0)
        await ended.acquire()


@given(st.lists(st.integers(1, len(WHOLE) - 1)))
def test_events_are_counted_once_wherever_they_are_cut(cuts: list[int]) -> None:
    """The network may cut the stream anywhere; each event counts once."""
    edges = [0, *sorted(cuts), len(WHOLE)]
    count = EventCount()
    pieces = [WHOLE[start:end] for start, end in itertools.pairwise(edges)]
    assert sum(count.feed(piece) for piece in pieces) == 4


async def test_an_answer_has_a_time_for_each_token() -> None:
    """The event with the usage is no token, and its count is the number of tokens."""
    async with answering(HEAD, *TOKENS, USAGE, END) as endpoint:
        answer = await stream(endpoint, [1, 2], 3)
    assert answer.tokens == len(answer.arrived_s) == 3
    assert answer.sent_s < answer.arrived_s[0] < answer.arrived_s[1] < answer.arrived_s[2]


async def test_several_answers_run_at_once() -> None:
    """All prompts are sent before any answer ends."""
    async with answering(HEAD, *TOKENS, USAGE, END) as endpoint:
        answers = await stream_all(endpoint, [[1], [2]], 3)
    assert max(one.sent_s for one in answers) < min(one.arrived_s[-1] for one in answers)


@pytest.mark.parametrize(
    "parts",
    [
        (b'HTTP/1.1 503 Busy\r\n\r\n{"error":"busy"}',),
        (HEAD, *TOKENS),
        (HEAD, TOKENS[0], USAGE.replace(b":3", b":1"), END),
    ],
    ids=["refused", "cut", "too short"],
)
async def test_a_failed_answer_is_never_measured(parts: tuple[bytes, ...]) -> None:
    """An error, a broken stream and an answer that is too short all end the measurement."""
    async with answering(*parts) as endpoint:
        with pytest.raises(AnswerFailed):
            await stream(endpoint, [1, 2], 3)


@asynccontextmanager
async def pausing(*parts: bytes) -> AsyncIterator[Endpoint]:
    """A server that sends these bytes and then nothing more, until the client is gone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(parts))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield Endpoint(server.sockets[0].getsockname()[1], "m", deadline_s=10.0)


async def test_what_came_in_time_counts() -> None:
    """An answer that is cut keeps the tokens that had come; one that had not begun waits until the cut."""
    until_s = asyncio.get_running_loop().time() + 0.2
    async with pausing(HEAD, *TOKENS) as endpoint:
        answer = await stream_until(endpoint, [1, 2], 9, until_s)
    assert answer.tokens == len(answer.arrived_s) == 3
    async with pausing(HEAD) as endpoint:
        nothing = await stream_until(endpoint, [1, 2], 9, asyncio.get_running_loop().time() + 0.2)
    assert nothing.tokens == 0 and nothing.ttft_s > 0.15
