"""One TCP connection as a Channel of byte strings; the same class at both ends."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

from protocol.errors import LinkClosed, WireError
from protocol.splitter import Splitter, framed

MAX_UNREAD = 64
"""Byte strings that wait to be read before the peer is slowed down."""


class TcpChannel(asyncio.Protocol):
    """Pieces over a connection; the loop calls it with what the socket says."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: of one byte string; a peer that announces a longer one is cut off."""
        self._splitter = Splitter(max_bytes)
        self._arrivals: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._may_write = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._end = ""
        """Why nothing more will arrive."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it
        if self._end:
            self._abort()  # it was closed before it stood
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer."""
        try:
            self._arrivals += self._splitter.feed(data)
        except WireError as nonsense:
            self._ended(nonsense.message)
            self._abort()
        if len(self._arrivals) > MAX_UNREAD and self._transport is not None:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """The peer says nothing more; it may still listen."""
        self._ended("the peer ended the connection")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Both directions are gone."""
        self._transport = None
        self._ended("the connection is gone" if exc is None else f"the connection is broken: {exc}")
        self._may_write.set()

    def pause_writing(self) -> None:
        """The peer is slow."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write.set()

    async def write(self, data: bytes) -> None:
        """Waits while the peer is slow. Raises LinkClosed if the connection is gone."""
        await self._may_write.wait()
        if self._transport is None or self._transport.is_closing():
            raise LinkClosed(self._end or "this end closed the connection")
        self._transport.write(framed(data))

    async def read(self) -> bytes:
        """What arrived next. Raises LinkClosed when all of it is read and no more can come."""
        while not self._arrivals:
            if self._end:
                raise LinkClosed(self._end)
            self._news.clear()
            await self._news.wait()
        data = self._arrivals.popleft()
        if not self._arrivals and self._transport is not None:
            self._transport.resume_reading()
        return data

    async def end_writing(self) -> None:
        """The end goes out after everything that was written."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    async def close(self) -> None:
        """Drops the connection at once, and what it still held."""
        self._ended("this end closed the connection")
        self._abort()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _ended(self, why: str) -> None:
        self._end = self._end or why
        self._news.set()
