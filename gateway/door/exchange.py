"""One HTTP call: its bytes in and out, with every wait bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from starlette.types import Message, Receive, Scope, Send

from gateway.door.refusals import BodyTooLarge, SlowBody
from protocol.clock import Clock
from protocol.errors import DeadlineExceeded
from protocol.limits import Limits

SLOWEST_BYTES_PER_S = 16 << 10
"""Of a body, once `Limits.body_stall_s` have passed."""


class ClientGone(Exception):
    """The client closed the connection before its answer was complete."""


class ReaderStalled(Exception):
    """The client reads nothing; the connection is cut without an end."""


class Exchange:
    """Wraps one ASGI call. `status` is 0 until the answer has begun."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, clock: Clock, limits: Limits) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        self._limits = limits
        self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._extra: list[tuple[str, str]] = []
        self.arrival = self.received = clock.now()
        """When its head and its last byte were here."""
        self.request_id = ""
        """What the answer's x-request-id says."""
        self.method: str = scope["method"]
        path: str = scope["path"]
        self.path = path.removeprefix(scope.get("root_path", ""))
        self._writing_since: float | None = None
        """Begin of the write that goes on now."""
        self._watched = False
        """Whether somebody looks after stalled writes."""
        self.status = 0
        self.finished = False

    def header(self, name: str) -> str | None:
        """A request header by its lower-case name."""
        return self._headers.get(name)

    def add_header(self, name: str, value: str) -> None:
        """Goes out with whatever the answer is; latin-1, no line breaks."""
        self._extra.append((name, value))

    async def body(self) -> bytes:
        """The whole body. Raises BodyTooLarge while reading, SlowBody, or ClientGone."""
        self._check_size(int(length) if (length := self.header("content-length") or "").isdecimal() else 0)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._next_part(size)
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._check_size(size)
            more = message.get("more_body", False)
        self.received = self._clock.now()
        return b"".join(parts)

    async def while_connected(self, work: Coroutine[None, None, None]) -> None:
        """Runs `work` to its end; cancels it and raises ClientGone as soon as the client leaves, or
        ReaderStalled when it has made no room for `Limits.reader_stall_s`.

        Only once the body is read: whatever else the client sends is dropped. `work` has a task of its own
        also because each token wakes all that await within one task, and a server's layers are many.
        """
        task = asyncio.ensure_future(work)
        gone, stalled = (asyncio.ensure_future(watch) for watch in (self._disconnected(), self._stalled()))
        for watch in (gone, stalled):
            watch.add_done_callback(lambda _: task.cancel())
        self._watched = True
        try:
            await task
        except asyncio.CancelledError:
            if stalled.done():
                raise ReaderStalled from None
            if gone.done():
                raise ClientGone from None
            raise  # cancelled from outside
        finally:
            self._watched = False
            for one in (task, gone, stalled):
                one.cancel()

    async def answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """The whole answer at once."""
        await self._start(status, content_type, [("content-length", str(len(body)))])
        await self.finish(body)

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Part of a stream of server-sent events, inside `while_connected`, which watches over it: a deadline
        for each token would cost more than the token. `more`: whether it is not the last."""
        self._writing_since = self._clock.now()
        if self.status == 0:
            await self._start_stream()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        self._writing_since = None

    async def finish(self, data: bytes = b"") -> None:
        """The last bytes, of a stream unless the answer has begun otherwise. Raises ReaderStalled."""
        if self._watched:
            await self.write(data, more=False)
        else:
            try:
                async with self._clock.deadline(self._limits.reader_stall_s):
                    await self.write(data, more=False)
            except DeadlineExceeded as late:
                raise ReaderStalled from late
        self.finished = True

    async def _start_stream(self) -> None:
        unbuffered = [("cache-control", "no-cache"), ("x-accel-buffering", "no")]
        await self._start(200, "text/event-stream; charset=utf-8", unbuffered)

    async def _start(self, status: int, content_type: str, headers: list[tuple[str, str]]) -> None:
        self.status = status
        pairs = [("content-type", content_type), *headers, *self._extra]
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _next_part(self, size: int) -> Message:
        """Bounded in pause and in pace: a drop now and then does not keep the connection."""
        stall_s = self._limits.body_stall_s
        behind_s = self._clock.now() - self.arrival - size / SLOWEST_BYTES_PER_S
        try:
            async with self._clock.deadline(stall_s - max(0.0, behind_s)):
                return await self._receive()
        except DeadlineExceeded as late:
            raise SlowBody("the body comes too slowly") from late

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stalled(self) -> None:
        """Returns when one write has waited for `Limits.reader_stall_s`."""
        left_s = stall_s = self._limits.reader_stall_s
        while left_s > 0:
            await self._clock.sleep(left_s)
            since = self._writing_since
            left_s = stall_s if since is None else since + stall_s - self._clock.now()

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_body_bytes:
            raise BodyTooLarge(f"the body may have at most {self._limits.max_body_bytes} bytes")
