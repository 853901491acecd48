"""An engine in a child process of its own: a busy thread beside the forward pass costs 100x on CPU."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from protocol.clock import Clock
from protocol.errors import BatonError, DeadlineExceeded, WorkerLost, error_from_code
from protocol.limits import Limits
from protocol.mail import EngineFacts, EngineInbox, EngineNews, Fatal, Ready, Stop
from worker import engine_launch
from worker.engine_main import SOCKET_VARIABLE
from worker.mail_channel import MailChannel

EXIT_POLL_S = 0.05
EXIT_S = 0.5
"""From the end of the socket to the end of the process; then it is killed."""
KILL_S = 5.0
"""A killed process that the kernel does not give back in this time is left to it."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """How an engine process is started. `argv` is to call worker.engine_main.run_engine."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    """Variables on top of this process's own (OMP_NUM_THREADS, ...)."""
    cores: tuple[int, ...] = ()
    """CPU cores that it is pinned to; empty leaves it where this process may run."""
    log: Path | None = None
    """Its stdout and stderr are appended here; None leaves them with this process."""


class ChildHost:
    """EngineHost of one child process.

    Each dies with the other: the child by its parent-death signal and by the end of the socket,
    this side by the end of the socket and by watching the child exit. The signal follows the
    thread that called `start`, so that thread has to live as long as the worker.
    """

    def __init__(self, command: ChildCommand, clock: Clock, limits: Limits) -> None:
        self._command = command
        self._clock = clock
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: MailChannel | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child; None before `start`."""
        return None if self._child is None else self._child.pid

    async def start(self, deadline_s: float) -> EngineFacts:
        """Starts the process and waits until it says Ready or Fatal."""
        try:
            async with self._clock.deadline(deadline_s):
                self._channel = await self._spawn()
                return await self._first_word()
        except BaseException:
            await self._kill()
            raise

    def post(self, mail: EngineInbox) -> None:
        """Hands over mail."""
        if self._channel is None:
            raise WorkerLost("the engine process is not running")
        self._channel.send(mail)

    async def receive(self) -> list[EngineNews]:
        """The next batches."""
        if self._channel is None:
            raise WorkerLost("the engine process is not running")
        try:
            return await self._channel.receive()
        except BatonError as end:
            status = await self._exit_status(EXIT_S)
            raise WorkerLost(f"the engine process ended with status {status}: {end}") from end

    async def stop(self, grace_s: float) -> None:
        """Stop, and SIGKILL after `grace_s`."""
        if self._channel is not None and self._child is not None and self._child.poll() is None:
            try:
                self._channel.send(Stop())
            except WorkerLost:
                pass  # it is ending already
            else:
                await self._exit_status(grace_s)
        await self._kill()

    async def _spawn(self) -> MailChannel:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._child = self._popen(theirs.fileno())
            except OSError as error:
                ours.close()
                raise WorkerLost(f"the engine process could not be started: {error}") from error
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: MailChannel(self._limits), sock=ours)
        self._watch = loop.create_task(self._watch_exit(self._child, channel))
        return channel

    def _popen(self, descriptor: int) -> subprocess.Popen[bytes]:
        command = self._command
        cores = ",".join(map(str, command.cores)) or "all"
        launch = (sys.executable, "-I", "-S", engine_launch.__file__, str(os.getpid()), cores)
        environment = {**os.environ, **dict(command.environment), SOCKET_VARIABLE: str(descriptor)}
        log = None if command.log is None else command.log.open("ab")
        try:
            return subprocess.Popen(  # noqa: S603  the command is the worker's own
                (*launch, *command.argv),
                env=environment,
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        finally:
            if log is not None:
                log.close()

    async def _first_word(self) -> EngineFacts:
        for mail in await self.receive():
            if isinstance(mail, Ready):
                return mail.facts
            if isinstance(mail, Fatal):
                raise error_from_code(mail.code, mail.message)
        raise WorkerLost("the engine process spoke before it was ready")

    async def _watch_exit(self, child: subprocess.Popen[bytes], channel: MailChannel) -> None:
        """Ends the channel after the child, even if something still holds the other end."""
        while child.poll() is None:
            await self._clock.sleep(EXIT_POLL_S)
        await self._clock.sleep(EXIT_POLL_S)  # so that what it said last is read
        channel.close()

    async def _exit_status(self, within_s: float) -> int | None:
        """The child's exit status; it is killed if it takes longer than `within_s`."""
        if self._child is None:
            return None
        if not await self._exited(self._child, within_s):
            self._child.kill()
            await self._exited(self._child, KILL_S)
        return self._child.returncode

    async def _exited(self, child: subprocess.Popen[bytes], within_s: float) -> bool:
        try:
            async with self._clock.deadline(within_s):
                while child.poll() is None:
                    await self._clock.sleep(EXIT_POLL_S / 5)
        except DeadlineExceeded:
            return False
        return True

    async def _kill(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            await self._exited(self._child, KILL_S)
        if self._watch is not None:
            await self._watch
