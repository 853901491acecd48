"""Clients that close, stall or dawdle, over real sockets: the generation is given up at once."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from protocol.limits import Limits
from tests.gateway.door.door_kit import CHAT, chat_body, metric, parts, served, until
from tests.gateway.door.scripted_generator import ScriptedGenerator


def request_bytes(body: dict[str, Any], length: int | None = None) -> bytes:
    """One POST as it goes over the wire; `length` may promise more than there is."""
    content = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length or len(content)}\r\n\r\n".encode() + content


@pytest.mark.parametrize("choices", [1, 3])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_closes_gives_its_generation_back(stream: bool, choices: int) -> None:
    """Mid-stream, and while it waits for a whole answer."""
    made = parts(generator := ScriptedGenerator(endless=True, pause_s=0.001))
    async with served(made) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(chat_body(stream=stream, n=choices)))
        await until(lambda: generator.told > 5)
        if stream:
            assert b"200 OK" in await reader.readline()
        assert metric(made, "baton_open_requests", model="tiny") == choices
        writer.close()
        await until(lambda: generator.open == 0, seconds=1.0)
        await until(lambda: metric(made, "baton_client_disconnects_total", model="tiny") == 1)
    assert metric(made, "baton_open_requests", model="tiny") == 0
    finished = metric(made, "baton_sequences_finished_total", model="tiny", reason="cancelled")
    assert finished == choices


async def test_a_client_that_closes_before_the_first_token() -> None:
    """Nothing was sent yet, and nothing goes on."""
    made = parts(generator := ScriptedGenerator(pause_s=60.0))
    async with served(made) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(chat_body(stream=True)))
        await until(lambda: generator.open == 1)
        writer.close()
        await until(lambda: generator.open == 0, seconds=1.0)


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    """After `reader_stall_s` the generation ends, and the stream has no end that looks like one."""
    made = parts(generator := ScriptedGenerator("word " * 20, endless=True), Limits(reader_stall_s=0.2))
    async with served(made) as port:
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", port))
            stalled.sendall(request_bytes(chat_body(stream=True)))
            await until(lambda: metric(made, "baton_client_stalls_total", model="tiny") == 1, seconds=10.0)
            assert generator.open == 0
            stalled.settimeout(5.0)
            received = await asyncio.to_thread(read_all, stalled)
    assert b"data: " in received and b"[DONE]" not in received
    assert not received.endswith(b"0\r\n\r\n")


def read_all(connection: socket.socket) -> bytes:
    """Until the other end closes or resets."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


async def test_a_body_that_does_not_come_is_a_408() -> None:
    """The client promised more than it sends; the next one is served."""
    made = parts(limits=Limits(body_stall_s=0.1))
    async with served(made) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(chat_body(), length=5000))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5.0)
        assert b" 408 " in head.splitlines()[0]
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(chat_body()))
        assert b" 200 " in await reader.readline()
        writer.close()


async def test_a_body_that_drips_is_a_408() -> None:
    """A byte now and then keeps no connection open."""
    async with served(parts(limits=Limits(body_stall_s=0.2))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(chat_body(), length=5000))
        answered = asyncio.ensure_future(reader.readline())
        async with asyncio.timeout(5.0):
            while not answered.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)
        assert b" 408 " in answered.result()
        writer.close()


async def test_a_client_that_closes_within_its_body() -> None:
    """No request is made of half a body."""
    made = parts(generator := ScriptedGenerator())
    async with served(made) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes(chat_body(), length=5000))
        await writer.drain()
        writer.close()
        await until(lambda: metric(made, "baton_client_disconnects_total", model="tiny") == 1)
    assert generator.requests == []


async def test_a_slow_reader_slows_the_generation() -> None:
    """What cannot be written is not generated on and on: memory stays bounded."""
    generator = ScriptedGenerator("word " * 20, endless=True)
    made = parts(generator, Limits(reader_stall_s=30.0))
    async with served(made) as port:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", port))
            slow.sendall(request_bytes(chat_body(stream=True)))
            told = -1
            while told != generator.told:
                told = generator.told
                await asyncio.sleep(0.3)
            assert generator.open == 1
        await until(lambda: generator.open == 0, seconds=2.0)
