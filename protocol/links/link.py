"""The seam of the wire between a gateway and a worker, or between two workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from protocol.messages import Frame, Hello, WorkerAddress


class Link(Protocol):
    """Ordered frames, each exactly once, until the link closes. Silence closes it."""

    @property
    def peer(self) -> Hello:
        """What the other end said of itself."""
        ...

    def send(self, frame: Frame | msgspec.Raw) -> None:
        """Queues one frame, which may be encoded already, and returns at once. Raises LinkClosed if the
        link is closed or if the peer is so slow that the backlog is full (which closes it), and WireError
        if the frame is longer than Limits.max_frame_bytes (the link lives on)."""
        ...

    async def receive(self) -> Frame:
        """The next frame. Raises LinkClosed when the link ended or fell silent, after giving out
        what had arrived before. One reader at a time."""
        ...

    async def delivered(self) -> None:
        """Returns when all that was sent before has arrived, or the link has ended. `close` sends
        nothing twice: what is lost on the way after it is lost."""
        ...

    async def close(self) -> None:
        """Ends the link; what was sent before still arrives if the peer is alive and prompt.
        Doing it twice is harmless."""
        ...


class Dialer(Protocol):
    """Opens links to workers."""

    async def dial(self, address: WorkerAddress) -> Link:
        """A link to that incarnation. Raises LinkClosed if nobody answers in time, Stale if
        another incarnation does, WireError if it speaks another version of the wire."""
        ...


LinkHandler = Callable[[Link], Awaitable[None]]
"""Serves one accepted link until it closes. LinkClosed may leave it; when it returns, the link
is closed; when the server stops, it is cancelled."""


class LinkServer(Protocol):
    """Accepts links."""

    async def start(self, handler: LinkHandler) -> int:
        """Listens, gives each link to `handler`, and returns the port."""
        ...

    async def stop(self) -> None:
        """Stops listening, cancels the handlers and closes their links."""
        ...
