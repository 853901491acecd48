"""One end of a simulated connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from protocol.errors import LinkClosed

Carry = Callable[[Callable[[], None]], None]
"""Runs a delivery later, never, or twice."""


class MemoryChannel:
    """Bytes to the other end of a pair, as late and as often as `carry` lets them arrive."""

    def __init__(self, carry: Carry) -> None:
        self._carry = carry
        self._other: MemoryChannel | None = None
        self._arrivals: deque[bytes] = deque()
        self._hear: Callable[[bytes], None] | None = None
        self._end: asyncio.Future[None] | None = None
        """Of `listen`."""
        self._peer_ended = False
        self._broken = False

    def join(self, other: MemoryChannel) -> None:
        """Makes a pair of the two."""
        self._other, other._other = other, self

    async def write(self, data: bytes) -> None:
        """Sends and does not wait. Raises LinkClosed if this end is closed or broken."""
        if self._broken or self._other is None:
            raise LinkClosed("the connection is broken")
        self._carry(partial(self._other._arrive, data))

    async def listen(self, hear: Callable[[bytes], None]) -> NoReturn:
        """What arrives, at once. Raises LinkClosed at the peer's end, or when broken."""
        while self._arrivals:
            hear(self._arrivals.popleft())
        if not (self._peer_ended or self._broken):
            self._hear = hear
            self._end = asyncio.get_running_loop().create_future()
            try:
                await self._end
            finally:
                self._hear = None
        raise LinkClosed("the peer ended the connection")

    async def end_writing(self) -> None:
        """The news of the end travels like data, and may get lost like data."""
        self._tell_the_end()

    async def close(self) -> None:
        """Ends this end; the peer hears of it if the network lets it."""
        self.sever()

    @property
    def is_severed(self) -> bool:
        """Whether this end is gone."""
        return self._broken

    def sever(self) -> None:
        """This end is gone at once: nothing that is on its way to it arrives."""
        self._tell_the_end()
        self._broken = True
        self._arrivals.clear()
        self._stop_listening()

    def _arrive(self, data: bytes) -> None:
        if self._broken:
            return
        if self._hear is None:
            self._arrivals.append(data)
            return
        try:
            self._hear(data)
        except Exception as wrong:
            self._stop_listening(wrong)

    def _hear_the_end(self) -> None:
        self._peer_ended = True
        self._stop_listening()

    def _stop_listening(self, wrong: Exception | None = None) -> None:
        self._hear = None
        if self._end is not None and not self._end.done():
            if wrong is None:
                self._end.set_result(None)
            else:
                self._end.set_exception(wrong)

    def _tell_the_end(self) -> None:
        if not self._broken and self._other is not None:
            self._carry(self._other._hear_the_end)
