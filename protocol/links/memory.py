"""Links inside one process: the network of the simulation, with the real sessions and codec."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from protocol.clock import Clock
from protocol.errors import LinkClosed
from protocol.limits import Limits
from protocol.links.faults import ChannelFaults, SteadyNetwork
from protocol.links.handshake import LinkAcceptor, dial_over
from protocol.links.link import Link, LinkHandler
from protocol.links.memory_channel import MemoryChannel
from protocol.messages import Hello, WorkerAddress

MEMORY_HOST = "memory"

STEADY = SteadyNetwork()


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection and the node that holds it."""

    node: str
    channel: MemoryChannel


class MemoryNetwork:
    """Who listens, who is connected, and what the faults do to each packet between them."""

    def __init__(self, clock: Clock, faults: ChannelFaults = STEADY) -> None:
        self._clock = clock
        self._faults = faults
        self._listeners: dict[int, MemoryLinkServer] = {}
        self._ends: list[End] = []
        self._last_port = 0

    def dialer(self, own: Hello, clock: Clock, limits: Limits) -> MemoryDialer:
        """A node's way out."""
        return MemoryDialer(self, own, clock, limits)

    def server(self, own: Hello, clock: Clock, limits: Limits, port: int = 0) -> MemoryLinkServer:
        """A node's way in; port 0 takes a fresh one when it starts."""
        return MemoryLinkServer(self, own, clock, limits, port)

    def sever(self, node: str) -> None:
        """The node dies: it listens no more and each of its connections breaks at once.

        The peers hear of it like of any end, so a partition hides it until they notice silence.
        """
        self._listeners = {port: s for port, s in self._listeners.items() if s.node != node}
        for end in self._ends:
            if end.node == node:
                end.channel.sever()

    def listen(self, server: MemoryLinkServer, port: int) -> int:
        """Enters a listener and returns its port. Raises LinkClosed if the port is taken."""
        if port in self._listeners:
            raise LinkClosed(f"port {port} is taken")
        self._last_port = max(self._last_port, port) if port else self._last_port + 1
        chosen = port or self._last_port
        self._listeners[chosen] = server
        return chosen

    def unlisten(self, server: MemoryLinkServer) -> None:
        """Removes a listener; links that it accepted stay."""
        self._listeners = {port: s for port, s in self._listeners.items() if s is not server}

    def connect(self, node: str, port: int) -> MemoryChannel:
        """A connection from `node` to whoever listens. Raises LinkClosed if nobody does."""
        server = self._listeners.get(port)
        if server is None:
            raise LinkClosed(f"nobody listens on port {port}")
        near = MemoryChannel(partial(self._carry, node, server.node))
        far = MemoryChannel(partial(self._carry, server.node, node))
        near.join(far)
        self._ends = [end for end in self._ends if not end.channel.is_severed]
        self._ends += [End(node, near), End(server.node, far)]
        server.accept(far)
        return near

    def _carry(self, sender: str, receiver: str, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for delay in self._faults.fate(sender, receiver, self._clock.now()):
            loop.call_later(delay, deliver)


class MemoryDialer:
    """Opens links inside a MemoryNetwork."""

    def __init__(self, network: MemoryNetwork, own: Hello, clock: Clock, limits: Limits) -> None:
        self._network = network
        self._own = own
        self._clock = clock
        self._limits = limits

    async def dial(self, address: WorkerAddress) -> Link:
        """A link to that incarnation. Raises LinkClosed, Stale or WireError."""
        channel = self._network.connect(self._own.name, address.port)
        return await dial_over(channel, self._own, address.identity, self._clock, self._limits)


class MemoryLinkServer:
    """Accepts links inside a MemoryNetwork."""

    def __init__(self, network: MemoryNetwork, own: Hello, clock: Clock, limits: Limits, port: int) -> None:
        self._network = network
        self._own = own
        self._clock = clock
        self._limits = limits
        self._port = port
        self._acceptor: LinkAcceptor | None = None

    @property
    def node(self) -> str:
        """Whose server this is."""
        return self._own.name

    async def start(self, handler: LinkHandler) -> int:
        """Listens, and returns the port."""
        self._acceptor = LinkAcceptor(self._own, handler, self._clock, self._limits)
        return self._network.listen(self, self._port)

    async def stop(self) -> None:
        """Stops listening, cancels the handlers and closes their links."""
        self._network.unlisten(self)
        if self._acceptor is not None:
            await self._acceptor.stop()

    def accept(self, channel: MemoryChannel) -> None:
        """Serves one new connection. Raises LinkClosed if the server never started."""
        if self._acceptor is None:
            raise LinkClosed(f"{self.node} does not serve")
        self._acceptor.accept(channel)
