"""Links by number: frames of peers to the engine, the engine's frames to peers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from protocol.clock import Clock
from protocol.errors import BatonError, DeadlineExceeded, WorkerLost
from protocol.limits import Limits
from protocol.links.link import Dialer, Link
from protocol.mail import Dial, EngineInbox, Inbound, Outbound, PeerId, PeerLost, Sealed
from protocol.messages import Frame, Leaving, WorkerAddress

MAX_LINKS = 4096

logger = logging.getLogger(__name__)


class Switchboard:
    """Every link of one worker. A number is used once: it is dialled (maybe), open, then forgotten."""

    def __init__(
        self, post: Callable[[EngineInbox], None], dialer: Dialer, clock: Clock, limits: Limits
    ) -> None:
        self._post = post
        self._dialer = dialer
        self._clock = clock
        self._limits = limits
        self._last_accepted = 0
        self._refusing = False
        self._leaving = False
        self._open: dict[PeerId, Link] = {}
        self._dialled: dict[PeerId, list[Frame | msgspec.Raw]] = {}
        """Frames that wait until the link is there."""
        self._tasks: dict[PeerId, asyncio.Task[None]] = {}
        """Of the links that were dialled."""
        self._hangups: dict[PeerId, asyncio.Task[None]] = {}

    async def accept(self, link: Link) -> None:
        """Carries one accepted link until it closes: its Hello first, then its frames."""
        if self._refusing or len(self._open) >= MAX_LINKS:
            await self._close_link(link)
            return
        self._last_accepted += 1
        peer = PeerId(self._last_accepted)
        try:
            self._post(Inbound(peer, link.peer))
            if self._leaving and link.peer.role == "gateway":
                link.send(Leaving())
            await self._carry(peer, link)
        except BatonError as lost:
            logger.info("link of %s %s ends: %s", link.peer.role, link.peer.name, lost)
        finally:
            self._forget(peer)

    def dial(self, mail: Dial) -> None:
        """Starts to open a link; frames for it wait meanwhile. A number in use is left alone."""
        if mail.peer in self._tasks:
            return
        self._dialled[mail.peer] = []
        task = asyncio.get_running_loop().create_task(self._dial(mail.peer, mail.address))
        self._tasks[mail.peer] = task

    def deliver(self, mail: Outbound | Sealed) -> None:
        """Sends a frame, or drops it if the peer is lost."""
        if (link := self._open.get(mail.peer)) is not None:
            self._send(mail.peer, link, mail.frame)
        elif (held := self._dialled.get(mail.peer)) is not None:
            held.append(mail.frame)
            if len(held) > self._limits.max_link_backlog:
                self._tasks[mail.peer].cancel()

    def tell_gateways(self, frame: Frame) -> None:
        """One frame to every gateway that is linked."""
        for peer, link in tuple(self._open.items()):
            if link.peer.role == "gateway":
                self._send(peer, link, frame)

    def leave(self) -> None:
        """Tells every gateway that is linked now or later that this worker leaves."""
        self._leaving = True
        self.tell_gateways(Leaving())

    async def all_delivered(self) -> None:
        """Waits until every peer has what was said to it so far; for those who are silent, as long as any
        link waits for a word."""
        links = tuple(self._open.values())
        try:
            async with self._clock.deadline(self._limits.silence_s):
                await asyncio.gather(*(link.delivered() for link in links))
        except DeadlineExceeded as late:
            logger.warning("not all that was said has arrived: %s", late)

    async def hang_up_gateways(self) -> None:
        """Ends the link of every gateway; those of readers and sources of KV stay."""
        gateways = [link for link in self._open.values() if link.peer.role == "gateway"]
        await asyncio.gather(*map(self._close_link, gateways))

    def refuse(self) -> None:
        """Takes no new links from now on."""
        self._refusing = True

    async def close(self) -> None:
        """Closes every link."""
        self.refuse()
        for task in self._tasks.values():
            task.cancel()
        ends = [*self._tasks.values(), *self._hangups.values(), *map(self._close_link, self._open.values())]
        await asyncio.gather(*ends, return_exceptions=True)

    async def _dial(self, peer: PeerId, address: WorkerAddress) -> None:
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                link = await self._dialer.dial(address)
            await self._carry(peer, link)
        except BatonError as lost:
            logger.info("link to %s ends: %s", address.identity.worker, lost)
        finally:
            self._forget(peer)

    async def _carry(self, peer: PeerId, link: Link) -> None:
        """Passes frames on until the link, the engine or the engine's patience ends."""
        self._open[peer] = link
        try:
            for frame in self._dialled.pop(peer, []):
                self._send(peer, link, frame)
            while True:
                self._post(Inbound(peer, await link.receive()))
        finally:
            await self._close_link(link)

    def _send(self, peer: PeerId, link: Link, frame: Frame | msgspec.Raw) -> None:
        """One frame. A link that cannot take it has a gap from now on, so it is closed."""
        try:
            link.send(frame)
        except BatonError as lost:
            logger.info("link of %s %s ends: %s", link.peer.role, link.peer.name, lost)
            if self._open.pop(peer, None) is not None:
                hangup = asyncio.get_running_loop().create_task(self._close_link(link))
                self._hangups[peer] = hangup
                hangup.add_done_callback(lambda _: self._hangups.pop(peer, None))

    def _forget(self, peer: PeerId) -> None:
        """The last that the engine hears of this number."""
        self._open.pop(peer, None)
        self._dialled.pop(peer, None)
        self._tasks.pop(peer, None)
        try:
            self._post(PeerLost(peer))
        except WorkerLost:
            return  # the engine went first

    async def _close_link(self, link: Link) -> None:
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                await link.close()
        except BatonError as late:
            logger.warning("a link did not close: %s", late)
