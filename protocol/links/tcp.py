"""Links over TCP: one connection per link, which carries msgpack envelopes.

Sessions, keep-alives, bounds and greetings are those of SessionLink, the same that the simulation runs.
"""

from __future__ import annotations

import asyncio

from protocol.clock import Clock
from protocol.errors import DeadlineExceeded, LinkClosed
from protocol.limits import Limits
from protocol.links.handshake import LinkAcceptor, dial_over
from protocol.links.link import Link, LinkHandler
from protocol.links.session_link import max_envelope_bytes
from protocol.links.tcp_channel import TcpChannel
from protocol.messages import Hello, WorkerAddress


class TcpDialer:
    """Opens links to workers."""

    def __init__(self, own: Hello, clock: Clock, limits: Limits) -> None:
        self._own = own
        self._clock = clock
        self._limits = limits

    async def dial(self, address: WorkerAddress) -> Link:
        """A link to that incarnation. Raises LinkClosed, Stale or WireError."""
        loop, max_bytes = asyncio.get_running_loop(), max_envelope_bytes(self._limits)
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                _, channel = await loop.create_connection(
                    lambda: TcpChannel(max_bytes), address.host, address.port
                )
        except (OSError, DeadlineExceeded) as nobody:
            raise LinkClosed(f"nobody answers at {address.host}:{address.port}: {nobody}") from nobody
        return await dial_over(channel, self._own, address.identity, self._clock, self._limits)


class TcpLinkServer:
    """Accepts links, from this host alone unless told otherwise."""

    def __init__(
        self, own: Hello, clock: Clock, limits: Limits, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._own = own
        self._clock = clock
        self._limits = limits
        self._host = host
        self._port = port
        self._acceptor: LinkAcceptor | None = None
        self._server: asyncio.Server | None = None

    async def start(self, handler: LinkHandler) -> int:
        """Listens, and returns the port. Raises LinkClosed if the port is taken."""
        self._acceptor = LinkAcceptor(self._own, handler, self._clock, self._limits)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accepted, self._host, self._port)
        except OSError as taken:
            raise LinkClosed(f"cannot listen on {self._host}:{self._port}: {taken}") from taken
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stops listening, cancels the handlers and closes their links."""
        if self._server is not None:
            self._server.close()
        if self._acceptor is not None:
            await self._acceptor.stop()

    def _accepted(self) -> TcpChannel:
        """One new connection; its link starts at once and waits for it to stand."""
        channel = TcpChannel(max_envelope_bytes(self._limits))
        if self._acceptor is not None:
            self._acceptor.accept(channel)
        return channel
