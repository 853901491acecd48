"""Workers around the echo core on one simulated network, for tests of WorkerServer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from protocol.clock import LoopClock
from protocol.directory import Directory, MemoryDirectory
from protocol.errors import LinkClosed
from protocol.ids import WorkerId, WorkerIdentity
from protocol.links.link import Link
from protocol.links.memory import MemoryNetwork
from protocol.messages import WIRE_VERSION, Frame, Hello, WorkerAddress
from protocol.virtual_loop import run_virtual
from tests.worker.echo_core import LIMITS, WORKER, EchoCore
from worker.inline_host import InlineHost
from worker.worker_server import WorkerServer


def hello(role: str, name: str, incarnation: str = "life-1") -> Hello:
    """How a node introduces itself."""
    return Hello(WIRE_VERSION, role, name, incarnation)


@dataclass(slots=True)
class EchoWorker:
    """One worker with all that a test may look at."""

    core: EchoCore
    host: InlineHost
    server: WorkerServer
    address: WorkerAddress


@dataclass(slots=True)
class Site:
    """A network and a directory. To be made inside a running loop."""

    clock: LoopClock = field(default_factory=LoopClock)
    network: MemoryNetwork = field(default_factory=lambda: MemoryNetwork(LoopClock()))
    directory: Directory = field(default_factory=lambda: MemoryDirectory(LoopClock()))

    async def worker(self, identity: WorkerIdentity = WORKER) -> EchoWorker:
        """A worker that runs."""
        core = EchoCore(identity=identity)
        host = InlineHost(lambda: core, self.clock, LIMITS)
        server = self.server(host, identity)
        record = await server.start(1.0)
        return EchoWorker(core, host, server, record.address)

    def server(self, host: InlineHost, identity: WorkerIdentity = WORKER, port: int = 0) -> WorkerServer:
        """A worker server that was not started."""
        own = hello("worker", identity.worker, identity.incarnation)
        links = self.network.server(own, self.clock, LIMITS, port)
        dialer = self.network.dialer(own, self.clock, LIMITS)
        return WorkerServer(host, links, dialer, self.directory, self.clock, LIMITS, "decode")

    async def gateway(self, worker: EchoWorker, name: str = "g1") -> Link:
        """A link to a worker, as a gateway has it."""
        return await self.network.dialer(hello("gateway", name), self.clock, LIMITS).dial(worker.address)

    async def members(self) -> tuple[WorkerId, ...]:
        """Who is in the directory."""
        return tuple(record.worker for record in await self.directory.members())


async def frames_from(link: Link, count: int) -> list[Frame]:
    """The next `count` frames."""
    async with LoopClock().deadline(30.0):
        return [await link.receive() for _ in range(count)]


Scene = Callable[[Site], Awaitable[None]]


def play(scene: Scene) -> None:
    """Runs one scene on a fresh virtual loop."""

    async def run() -> None:
        await scene(Site())

    run_virtual(run())


async def closed(link: Link) -> float:
    """When the link ended."""
    async with LoopClock().deadline(30.0):
        with pytest.raises(LinkClosed):
            while True:
                await link.receive()
    return LoopClock().now()
