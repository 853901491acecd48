"""Many clients that come at once are taken in at once."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from cluster.listeners import ACCEPTS, take_in_many

CLIENTS = 2 * ACCEPTS


async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """No application."""


async def taken_in() -> list[int]:
    """Turns of the loop in which clients that were all there before were taken in."""
    loop, turn, seen = asyncio.get_running_loop(), [0], list[int]()

    def count() -> None:
        turn[0] += 1
        if len(seen) < CLIENTS:
            loop.call_soon(count)

    class Turns(asyncio.Protocol):
        """Notes the turn in which each connection was taken in."""

        def __init__(self, **_: object) -> None:
            """As uvicorn makes its own."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            """Notes it."""
            seen.append(turn[0])
            transport.close()

    config = uvicorn.Config(nothing, host="127.0.0.1", port=0, lifespan="off", log_config=None)
    config.load()
    config.http_protocol_class = Turns
    listening = config.bind_socket()
    listening.listen(CLIENTS)
    address = listening.getsockname()
    clients = [socket.create_connection(address) for _ in range(CLIENTS)]
    server = uvicorn.Server(config)
    async with asyncio.timeout(10.0):
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        count()
        while len(seen) < CLIENTS:
            await asyncio.sleep(0)
        server.should_exit = True
        await serving
    for client in clients:
        client.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address)
    return seen


def test_many_are_taken_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd waits for two or three turns of the loop, not for one each; afterwards nobody listens."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert len(set(runner.run(taken_in()))) == CLIENTS
        monkeypatch.setattr(uvicorn.Server, "startup", uvicorn.Server.startup)
        take_in_many()
        assert len(set(runner.run(taken_in()))) <= 4
