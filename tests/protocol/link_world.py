"""What the link's conformance suite stands on: a network with two ends, and frames to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from protocol.clock import Clock
from protocol.errors import LinkClosed
from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.links.link import Dialer, Link, LinkServer
from protocol.messages import WIRE_VERSION, Frame, Hello, Join, WorkerAddress

LIMITS = Limits(
    report_every_s=0.05, silence_s=1.0, peer_deadline_s=3.0, max_link_backlog=256, max_frame_bytes=1 << 20
)
IDENTITY = WorkerIdentity(WorkerId("decode-0"), Incarnation("first"))
WORKER = Hello(WIRE_VERSION, "worker", IDENTITY.worker, IDENTITY.incarnation)
GATEWAY = Hello(WIRE_VERSION, "gateway", "gateway-0", "g1")
ENOUGH_S = 30.0


class LinkWorld(Protocol):
    """A network with one server's worth of room, which can be cut in the middle."""

    @property
    def clock(self) -> Clock:
        """Real or virtual."""
        ...

    def server(self, own: Hello) -> LinkServer:
        """A server that keeps LIMITS."""
        ...

    def dialer(self, own: Hello) -> Dialer:
        """A dialer that keeps LIMITS."""
        ...

    async def address(self, identity: WorkerIdentity, port: int) -> WorkerAddress:
        """How a dialer reaches the server, by the way that `cut` cuts."""
        ...

    def cut(self) -> None:
        """From now on nothing arrives anywhere, and nobody is told."""
        ...


class Accepted:
    """A handler that hands its links to the test and holds them open until they close."""

    def __init__(self) -> None:
        self._links: asyncio.Queue[Link] = asyncio.Queue()
        self._hold = asyncio.Event()

    async def __call__(self, link: Link) -> None:
        self._links.put_nowait(link)
        await self._hold.wait()

    async def next(self) -> Link:
        """The next accepted link."""
        return await self._links.get()


def token(number: int) -> Join:
    """A small frame with a number in it."""
    return Join(AttemptKey(RequestId("r"), 1), number)


@asynccontextmanager
async def connected(world: LinkWorld) -> AsyncIterator[tuple[Link, Link]]:
    """The dialer's end and the server's end of one link."""
    accepted = Accepted()
    server = world.server(WORKER)
    port = await server.start(accepted)
    near = await world.dialer(GATEWAY).dial(await world.address(IDENTITY, port))
    far = await accepted.next()
    try:
        yield near, far
    finally:
        await near.close()
        await server.stop()


async def take(link: Link, count: int) -> list[Frame]:
    """The next frames."""
    return [await link.receive() for _ in range(count)]


async def drain(link: Link) -> list[Frame]:
    """Every frame until the link closes."""
    frames = []
    try:
        while True:
            frames.append(await link.receive())
    except LinkClosed:
        return frames
