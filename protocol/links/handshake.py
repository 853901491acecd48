"""How a link begins, whatever carries it: both ends say Hello, and each checks the other's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Served:
    """One accepted link and the task that serves it."""

    link: SessionLink
    task: asyncio.Task[None]


class LinkAcceptor:
    """The accepting side: greets each new channel and gives its link to the handler."""

    def __init__(self, own: Hello, handler: LinkHandler, clock: Clock, limits: Limits) -> None:
        self._own = own
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._served: list[Served] = []

    def accept(self, channel: Channel) -> None:
        """Serves the channel in a task of its own, until the handler returns or the link ends."""
        link = SessionLink(channel, self._clock, self._limits)
        self._served = [served for served in self._served if not served.task.done()]
        self._served.append(Served(link, asyncio.create_task(self._serve(link))))

    async def stop(self) -> None:
        """Cancels the handlers and closes their links."""
        stopping, self._served = self._served, []
        for served in stopping:
            served.task.cancel()
        await asyncio.gather(*(served.task for served in stopping), return_exceptions=True)
        # A task cancelled inside its own close did not wait for the end of it.
        await asyncio.gather(*(served.link.close() for served in stopping))

    async def _serve(self, link: SessionLink) -> None:
        try:
            await link.introduce(self._own)
            await self._handler(link)
        except (LinkClosed, WireError):
            pass  # the peer left, or speaks another language: nothing to do on this side
        finally:
            await link.close()
