"""A TCP proxy that can stop carrying without telling anybody: the toxic cable of the tests."""

from __future__ import annotations

import asyncio


class TcpProxy:
    """Forwards bytes between clients of its port and one target on this host, until it is cut."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._carrying = asyncio.Event()
        self._carrying.set()

    async def start(self) -> int:
        """Listens on a free port and returns it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """Nothing is carried any more; the connections stay open."""
        self._carrying.clear()

    async def stop(self) -> None:
        """Ends every connection and stops listening."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()

    async def _accept(self, near: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        self._writers.append(near_writer)
        try:
            far, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            near_writer.close()
            return
        self._writers.append(far_writer)
        self._tasks.append(asyncio.create_task(self._carry(near, far_writer)))
        self._tasks.append(asyncio.create_task(self._carry(far, near_writer)))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                await self._carrying.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        sink.close()
