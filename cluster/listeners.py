"""An HTTP server that takes in many connections in one turn of its event loop.

libuv (1.45 and later), and so uvloop, accepts one connection a listener a turn. A turn of a busy gateway
takes as long as all tokens that have come meanwhile, so new clients would wait in the kernel, unseen.
"""

from __future__ import annotations

import socket

import uvicorn

ACCEPTS = 8
"""Connections a turn, at most. All listeners look at each connection that comes: 3 us for each of them."""


def take_in_many() -> None:
    """From now on uvicorn listens on each socket that it is given so many times over."""
    start = uvicorn.Server.startup

    async def startup(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        await start(server, None if sockets is None else [again for one in sockets for again in _again(one)])

    setattr(uvicorn.Server, "startup", startup)  # noqa: B010  mypy allows no assignment to a method


def _again(sock: socket.socket) -> list[socket.socket]:
    """Descriptors of the same open socket: an event loop knows them as different ones."""
    return [sock, *(sock.dup() for _ in range(ACCEPTS - 1))]
