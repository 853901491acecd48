"""One bidirectional gRPC stream as a Channel of byte strings; one class for each end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import grpc
import grpc.aio

from protocol.errors import LinkClosed

GrpcCall = grpc.aio.StreamStreamCall[bytes, bytes]
GrpcContext = grpc.aio.ServicerContext[bytes, bytes]

BROKEN = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)
"""What a call on a stream that is gone may raise."""


class DialedChannel:
    """The end that opened the stream; it owns the connection below."""

    def __init__(self, connection: grpc.aio.Channel, call: GrpcCall) -> None:
        self._connection = connection
        self._call = call

    async def write(self, data: bytes) -> None:
        """Waits while HTTP/2 flow control holds it back. Raises LinkClosed if the stream ended."""
        try:
            await self._call.write(data)
        except BROKEN as broken:
            raise LinkClosed(_reason(broken)) from broken

    async def listen(self, hear: Callable[[bytes], None]) -> NoReturn:
        """Every message. Raises LinkClosed at the end of the stream."""
        while True:
            hear(await self._read())

    async def _read(self) -> bytes:
        try:
            data = await self._call.read()
        except BROKEN as broken:
            raise LinkClosed(_reason(broken)) from broken
        if not isinstance(data, bytes):
            raise LinkClosed("the peer ended the stream")
        return data

    async def end_writing(self) -> None:
        """Half-closes the stream."""
        try:
            await self._call.done_writing()
        except BROKEN as broken:
            raise LinkClosed(_reason(broken)) from broken

    async def close(self) -> None:
        """Cancels the stream if it still runs, and closes the connection."""
        self._call.cancel()
        await self._connection.close()


class AcceptedChannel:
    """The end inside a gRPC handler, which runs until `ended` is set."""

    def __init__(self, context: GrpcContext) -> None:
        self._context = context
        self.ended = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Waits while HTTP/2 flow control holds it back. Raises LinkClosed if the stream ended."""
        if self.ended.is_set():
            raise LinkClosed("the stream has ended")
        try:
            await self._context.write(data)
        except BROKEN as broken:
            raise LinkClosed(_reason(broken)) from broken

    async def listen(self, hear: Callable[[bytes], None]) -> NoReturn:
        """Every message. Raises LinkClosed at the end of the stream."""
        while True:
            hear(await self._read())

    async def _read(self) -> bytes:
        if self.ended.is_set():
            raise LinkClosed("the stream has ended")
        try:
            data = await self._context.read()
        except BROKEN as broken:
            raise LinkClosed(_reason(broken)) from broken
        if not isinstance(data, bytes):
            raise LinkClosed("the peer ended the stream")
        return data

    async def end_writing(self) -> None:
        """The handler returns, which sends the status after everything that was written."""
        self.ended.set()

    async def close(self) -> None:
        """The handler returns."""
        self.ended.set()


def _reason(broken: BaseException) -> str:
    if isinstance(broken, grpc.aio.AioRpcError):
        return f"{broken.code().name}: {broken.details()}"
    return f"the stream is broken: {broken!r}"
