"""The conformance suite's scene on NIXL: the reader here, every source in another process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import msgspec

from kv_transfer.nixl_transport import NixlSettings, NixlTransport
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.messages import SourceFacts
from tests.kv_transfer.transport_scene import fresh_arena

BLOCKS = 64
BLOCK_BYTES = 128 * 1024
LINGER_S = 0.3
"""Far more than the rest of a read needs here (8 MB)."""


class Nursery:
    """The process that source processes are forked from."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [sys.executable, "-m", "tests.kv_transfer.source_process", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()

    def bear(self, *arguments: object) -> socket.socket:
        """A new source; its facts come over the socket."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        socket.send_fds(self._control, [json.dumps(arguments).encode()], [theirs.fileno()])
        theirs.close()
        return mine

    def close(self) -> None:
        """Ends it; the sources end with their own sockets."""
        self._control.close()
        self._process.wait(timeout=10)


class NixlSource:
    """A process that serves an arena. Its calls block: nothing else runs in a test."""

    def __init__(
        self,
        nursery: Nursery,
        name: str,
        incarnation: str,
        config: str,
        blocks: int = BLOCKS,
        size: int = BLOCK_BYTES,
    ) -> None:
        self._socket = nursery.bear(name, incarnation, config, blocks, size)
        self._talk = self._socket.makefile("rwb")
        self._pid, self.facts = msgspec.json.decode(self._answer(), type=tuple[int, SourceFacts])

    async def publish(self) -> tuple[int, ...]:
        """It answers between two rewrites."""
        return self._ask("publish")

    async def reuse_blocks(self) -> None:
        """It rewrites until its end."""
        self._ask("reuse")

    async def kill(self) -> None:
        """After a moment, so that a read is under way."""
        await asyncio.sleep(0.02)
        self._signal(signal.SIGKILL)

    async def hang(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    async def wake(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """The end of the test, whatever state the process is in."""
        self._signal(signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._talk.close()
        self._socket.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)

    def _ask(self, what: str) -> tuple[int, ...]:
        self._talk.write(what.encode() + b"\n")
        self._talk.flush()
        return tuple(json.loads(self._answer()))

    def _answer(self) -> bytes:
        line = self._talk.readline()
        assert line, "the source process ended"
        return line


class NixlScene:
    """One reader with the given UCX settings."""

    def __init__(self, nursery: Nursery, config: str, hung_sources_answer: bool) -> None:
        self._nursery = nursery
        self._config = config
        self.hung_sources_answer = hung_sources_answer
        self.arena = fresh_arena(BLOCKS, BLOCK_BYTES)
        identity = WorkerIdentity(WorkerId("reader"), Incarnation("1"))
        self.reader = NixlTransport(identity, self.arena, time.monotonic, NixlSettings(config))
        self._sources: list[NixlSource] = []

    async def start_source(self, name: str, incarnation: str) -> NixlSource:
        """Starts a process."""
        source = NixlSource(self._nursery, name, incarnation, self._config)
        self._sources.append(source)
        return source

    async def pause(self) -> None:
        """As an idle step loop would."""
        await asyncio.sleep(0.0005)

    async def linger(self) -> None:
        """Real time."""
        await asyncio.sleep(LINGER_S)

    def close(self) -> None:
        """Ends reader and processes."""
        self.reader.close()
        for source in self._sources:
            source.stop()
