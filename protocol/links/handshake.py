"""How a link begins, whatever carries it: both ends say Hello, and each checks the other's."""

from __future__ import annotations

import asyncio

from protocol.clock import Clock
from protocol.errors import LinkClosed, Stale, WireError
from protocol.ids import WorkerIdentity
from protocol.limits import Limits
from protocol.links.channel import Channel
from protocol.links.link import LinkHandler
from protocol.links.session_link import SessionLink
from protocol.messages import Hello


async def dial_over(
    channel: Channel, own: Hello, wanted: WorkerIdentity, clock: Clock, limits: Limits
) -> SessionLink:
    """A link to `wanted`. Raises Stale if another incarnation answers, WireError if another
    version does, LinkClosed if nobody does; the channel is closed then."""
    link = SessionLink(channel, clock, limits)
    try:
        peer = await link.introduce(own)
        if (peer.name, peer.incarnation) != (wanted.worker, wanted.incarnation):
            raise Stale(f"{wanted.worker} is there as {peer.name}, in another incarnation")
    except BaseException:
        await link.close()
        raise
    return link


class LinkAcceptor:
    """The accepting side: greets each new channel and gives its link to the handler."""

    def __init__(self, own: Hello, handler: LinkHandler, clock: Clock, limits: Limits) -> None:
        self._own = own
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._serving: list[asyncio.Task[None]] = []

    def accept(self, channel: Channel) -> None:
        """Serves the channel in a task of its own, until the handler returns or the link ends."""
        self._serving = [task for task in self._serving if not task.done()]
        self._serving.append(asyncio.create_task(self._serve(channel)))

    async def stop(self) -> None:
        """Cancels the handlers and closes their links."""
        serving, self._serving = self._serving, []
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, channel: Channel) -> None:
        link = SessionLink(channel, self._clock, self._limits)
        try:
            await link.introduce(self._own)
            await self._handler(link)
        except (LinkClosed, WireError):
            pass  # the peer left, or speaks another language: nothing to do on this side
        finally:
            await link.close()
