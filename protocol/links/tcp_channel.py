"""One TCP connection as a Channel of byte strings; the same class at both ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NoReturn, cast

from protocol.errors import LinkClosed, WireError
from protocol.splitter import Splitter, framed


class TcpChannel(asyncio.Protocol):
    """Pieces over a connection; the loop calls it with what the socket says."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes`: of one byte string; a peer that announces a longer one is cut off."""
        self._splitter = Splitter(max_bytes)
        self._early: deque[bytes] = deque()
        """What came before anybody listened."""
        self._hear: Callable[[bytes], None] | None = None
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Of the end: done when nothing more will arrive; holds what `hear` raised."""
        self._may_write = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._end = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it
        if self._end:
            self._transport.abort()  # it was closed before it stood
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer."""
        try:
            pieces = self._splitter.feed(data)
            if self._hear is None:
                self._early += pieces
                return
            for piece in pieces:
                self._hear(piece)
        except WireError as nonsense:
            self._ended(nonsense.message)
            self._abort()
        except Exception as wrong:
            self._ended(repr(wrong), wrong)

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
        if not self._may_write.is_set():
            await self._may_write.wait()
        if self._transport is None or self._transport.is_closing():
            raise LinkClosed(self._end or "this end closed the connection")
        self._transport.write(framed(data))

    async def listen(self, hear: Callable[[bytes], None]) -> NoReturn:
        """What arrives, at once. Raises LinkClosed when the peer ended its side or is gone."""
        while self._early:
            hear(self._early.popleft())
        self._hear = hear
        try:
            await self._news
        finally:
            self._hear = None
        raise LinkClosed(self._end)

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

    def _ended(self, why: str, wrong: Exception | None = None) -> None:
        self._end = self._end or why
        self._hear = None
        if self._news.done():
            return
        if wrong is None:
            self._news.set_result(None)
        else:
            self._news.set_exception(wrong)
