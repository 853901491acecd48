"""The engine process's end of the socket to its I/O process: nothing here waits for the peer."""

from __future__ import annotations

import select
import socket

from protocol.errors import WireError, WorkerLost
from protocol.limits import Limits
from protocol.mail import EngineInbox, EngineOutbox, inbox_codec, outbox_codec
from protocol.splitter import Splitter, framed
from worker.mail_wire import backlog_limit, batch_limit

CHUNK_BYTES = 1 << 20


class MailPipe:
    """Reads what has come, sends what the socket takes, keeps the rest up to a bound."""

    def __init__(self, end: socket.socket, limits: Limits) -> None:
        end.setblocking(False)
        self._end = end
        self._decoder = inbox_codec(batch_limit(limits))
        self._encoder = outbox_codec(batch_limit(limits))
        self._splitter = Splitter(batch_limit(limits))
        self._max_backlog = backlog_limit(limits)
        self._backlog = bytearray()

    def drain(self) -> list[EngineInbox]:
        """All mail that has come; waits for none. Raises WorkerLost if the I/O process is gone,
        WireError if it sent nonsense."""
        mail: list[EngineInbox] = []
        for _ in range(self._max_backlog // CHUNK_BYTES + 1):
            data = self._read()
            for batch in self._splitter.feed(data):
                mail += self._decoder.decode(batch)
            if len(data) < CHUNK_BYTES:
                break
        return mail

    def send(self, batch: list[EngineOutbox]) -> None:
        """Queues one batch and sends what the socket takes. Raises WorkerLost if the I/O process
        is gone or has read nothing for so long that it counts as hung."""
        self._backlog += self._packed(batch)
        self._push()
        if len(self._backlog) > self._max_backlog:
            raise WorkerLost(f"the I/O process left {len(self._backlog)} bytes unread: it hangs")

    def wait(self, seconds: float) -> bool:
        """Returns when mail has come, when the backlog can go on, or after `seconds`; whether it is mail."""
        # Not poll, which counts in milliseconds: an engine process has few descriptors, so select will do.
        readable, _, _ = select.select((self._end,), (self._end,) if self._backlog else (), (), seconds)
        self._push()
        return bool(readable)

    def close(self, within_s: float) -> None:
        """Sends what is left if that takes at most `within_s` seconds, and closes."""
        try:
            self._end.settimeout(within_s)
            self._end.sendall(self._backlog)
        except OSError:
            pass  # the reader is gone or hangs: there is nobody left to tell
        self._end.close()

    def _read(self) -> bytes:
        try:
            data = self._end.recv(CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as gone:
            raise WorkerLost(f"the I/O process is gone: {gone}") from gone
        if not data:
            raise WorkerLost("the I/O process is gone")
        return data

    def _push(self) -> None:
        try:
            while self._backlog:
                del self._backlog[: self._end.send(self._backlog)]
        except BlockingIOError:
            return
        except OSError as gone:
            raise WorkerLost(f"the I/O process is gone: {gone}") from gone

    def _packed(self, batch: list[EngineOutbox]) -> bytes:
        """The batch as bytes, in halves where it is too long for one."""
        try:
            return framed(self._encoder.encode(batch))
        except WireError:
            if len(batch) < 2:
                raise
            half = len(batch) // 2
            return self._packed(batch[:half]) + self._packed(batch[half:])
