"""The TCP link against strangers and dying processes: what only real sockets can show."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from protocol.clock import LoopClock
from protocol.codec import Codec, frame_codec
from protocol.errors import LinkClosed
from protocol.limits import Limits
from protocol.links.session import Envelope
from protocol.links.tcp import TcpDialer, TcpLinkServer
from protocol.messages import WorkerAddress
from protocol.splitter import framed
from tests.protocol.link_world import GATEWAY, IDENTITY, LIMITS, WORKER, Accepted, token

FRAMES = frame_codec(LIMITS.max_frame_bytes)
PATIENT = Limits(silence_s=20.0, peer_deadline_s=20.0)
ENVELOPES = Codec[Envelope](Envelope, 1 << 24)

CHILD = """
import asyncio
from protocol.clock import LoopClock
from protocol.links.tcp import TcpLinkServer
from tests.protocol.link_world import LIMITS, WORKER

async def hold(link):
    while True:
        link.send(await link.receive())

async def main():
    print(await TcpLinkServer(WORKER, LoopClock(), LIMITS).start(hold), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def child_server() -> AsyncIterator[tuple[asyncio.subprocess.Process, WorkerAddress]]:
    """A process that echoes every frame, and how to reach it."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(30):
            port = int(await child.stdout.readline())
        yield child, WorkerAddress(IDENTITY, "127.0.0.1", port)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


def not_a_greeting() -> bytes:
    """An envelope whose first frame is no Hello."""
    return ENVELOPES.encode(Envelope(1, 0, 0, 0, (FRAMES.encode(token(1)),)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        framed(b""),
        framed(b"\xc1garbage"),
        framed(b"\x93\x01\x02"),
        framed(not_a_greeting()),
        framed(bytes(LIMITS.max_frame_bytes + (1 << 20))),
    ],
    ids=["nothing", "short", "http", "empty", "garbage", "no envelope", "no hello", "too long"],
)
async def test_a_stranger_is_hung_up_on(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no greeting end that stream alone: no handler runs, no error is logged, and the
    next link works."""
    accepted = Accepted()
    server = TcpLinkServer(WORKER, LoopClock(), LIMITS)
    port = await server.start(accepted)
    async with asyncio.timeout(10):
        await _read_to_the_end(port, data)
        link = await TcpDialer(GATEWAY, LoopClock(), LIMITS).dial(WorkerAddress(IDENTITY, "127.0.0.1", port))
        assert (await accepted.next()).peer == GATEWAY
        await link.close()
    await server.stop()
    gc.collect()
    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []


async def test_a_killed_peer_is_noticed_at_once() -> None:
    """kill -9 of the other process closes the link long before silence would."""
    dialer = TcpDialer(GATEWAY, LoopClock(), PATIENT)
    async with child_server() as (child, address):
        link = await dialer.dial(address)
        link.send(token(1))
        assert await link.receive() == token(1)
        child.send_signal(signal.SIGKILL)
        async with asyncio.timeout(PATIENT.silence_s / 2):
            with pytest.raises(LinkClosed):
                await link.receive()
        await link.close()
        with pytest.raises(LinkClosed):
            await dialer.dial(address)


async def test_a_stopped_peer_is_noticed_by_its_silence() -> None:
    """A process that is frozen keeps its sockets open; silence closes the link all the same."""
    async with child_server() as (child, address):
        link = await TcpDialer(GATEWAY, LoopClock(), LIMITS).dial(address)
        child.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(LIMITS.silence_s + 5.0):
            with pytest.raises(LinkClosed, match="silent"):
                await link.receive()
        await link.close()


async def test_a_taken_port_is_a_typed_error() -> None:
    """Listening where somebody listens already raises LinkClosed."""
    first = TcpLinkServer(WORKER, LoopClock(), LIMITS)
    port = await first.start(Accepted())
    second = TcpLinkServer(WORKER, LoopClock(), LIMITS, port=port)
    with pytest.raises(LinkClosed, match="cannot listen"):
        await second.start(Accepted())
    await second.stop()
    await first.stop()


async def _read_to_the_end(port: int, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(data)
        writer.write_eof()
        await reader.read()
    writer.close()
