"""The I/O process's end of the socket to its engine process."""

from __future__ import annotations

import asyncio
from typing import cast

from protocol.errors import BatonError, Overloaded, WireError, WorkerLost
from protocol.limits import Limits
from protocol.mail import EngineInbox, EngineNews, Inbound, inbox_codec, news_codec
from protocol.splitter import Splitter, framed
from worker.mail_wire import backlog_limit, batch_limit


class MailChannel(asyncio.Protocol):
    """Mail over an asyncio transport. For one reader."""

    def __init__(self, limits: Limits) -> None:
        self._encoder = inbox_codec(batch_limit(limits))
        self._decoder = news_codec(batch_limit(limits))
        self._splitter = Splitter(batch_limit(limits))
        self._max_backlog = backlog_limit(limits)
        self._max_unread = limits.max_link_backlog
        self._transport: asyncio.Transport | None = None
        self._batches: list[list[EngineNews]] = []
        self._changed = asyncio.Event()
        self._broken: BatonError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is attached."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Bytes of the engine. Nonsense closes the channel; too much unread mail stops the reading,
        and the engine then counts this process as hung."""
        try:
            self._batches += [self._decoder.decode(batch) for batch in self._splitter.feed(data)]
        except WireError as nonsense:
            self._broken = nonsense
            self.close()
        if len(self._batches) > self._max_unread and self._transport is not None:
            self._transport.pause_reading()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The engine process has gone, or `close` was called."""
        self._broken = self._broken or WorkerLost("the engine process closed its socket")
        self._transport = None
        self._changed.set()

    def send(self, mail: EngineInbox) -> None:
        """Queues mail; see EngineHost.post."""
        if self._transport is None or self._transport.is_closing():
            raise WorkerLost("the engine process is gone")
        waiting = self._transport.get_write_buffer_size()
        if waiting > self._max_backlog and isinstance(mail, Inbound):
            raise Overloaded(f"{waiting} bytes of mail wait for the engine")
        self._transport.write(framed(self._encoder.encode([mail])))

    async def receive(self) -> list[EngineNews]:
        """The mail that has come since the last call, at least one batch. Raises WorkerLost or
        WireError when all of it is read and no more can come."""
        while not self._batches:
            if self._broken is not None:
                raise self._broken
            self._changed.clear()
            await self._changed.wait()
        batches, self._batches = self._batches, []
        if self._transport is not None:
            self._transport.resume_reading()
        return [mail for batch in batches for mail in batch]

    def close(self) -> None:
        """Drops the socket at once."""
        if self._transport is not None:
            self._transport.abort()
