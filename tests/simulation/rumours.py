"""Gateways that believe anything of prefixes: any worker, of any life, may be named as the source of one."""

from __future__ import annotations

import random

import msgspec
from msgspec import structs

from protocol.ids import TransferId
from protocol.links.link import Dialer, Link
from protocol.messages import Compute, Frame, Hello, Prefill, Prefix, WorkerAddress

MAX_BLOCKS = 20


class Rumours:
    """Opens links that add a prefix to some of the requests for a computation."""

    def __init__(self, dialer: Dialer, dice: random.Random, share: float) -> None:
        self._dialer = dialer
        self._dice = dice
        self._share = share
        self._heard_of: list[WorkerAddress] = []
        """Everyone who was ever dialled, those who are gone too."""

    async def dial(self, address: WorkerAddress) -> Link:
        """A link that exaggerates."""
        if address not in self._heard_of:
            self._heard_of.append(address)
        return RumouringLink(await self._dialer.dial(address), self)

    def spread(self, frame: Frame | msgspec.Raw) -> Frame | msgspec.Raw:
        """The frame, perhaps with a prefix that may or may not be there. What the gateway knows stands."""
        if not isinstance(frame, Compute | Prefill) or frame.prefix or self._dice.random() >= self._share:
            return frame
        transfer = TransferId(f"{self._dice.getrandbits(128):032x}")
        source, blocks = self._dice.choice(self._heard_of), self._dice.randrange(MAX_BLOCKS)
        return structs.replace(frame, prefix=Prefix(transfer, source, blocks))


class RumouringLink:
    """A link, but for what it adds."""

    def __init__(self, link: Link, rumours: Rumours) -> None:
        self._link = link
        self._rumours = rumours

    @property
    def peer(self) -> Hello:
        """The link's own."""
        return self._link.peer

    def send(self, frame: Frame | msgspec.Raw) -> None:
        """Perhaps a little more than was given."""
        self._link.send(self._rumours.spread(frame))

    async def receive(self) -> Frame:
        """The link's own."""
        return await self._link.receive()

    async def delivered(self) -> None:
        """The link's own."""
        await self._link.delivered()

    async def close(self) -> None:
        """The link's own."""
        await self._link.close()
