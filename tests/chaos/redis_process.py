"""A Redis server that can be killed and comes back empty on its port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from cluster.preflight import free_port

START_S = 20.0


class RedisProcess:
    """Keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("redis-server is needed: bash scripts/ensure_redis.sh")
        self._binary = binary
        self._folder = folder
        self.port = free_port("127.0.0.1")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For the spec."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it listens."""
        options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._process = subprocess.Popen(
            [self._binary, "--port", str(self.port), *options], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        give_up = time.monotonic() + START_S
        while time.monotonic() < give_up:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("redis-server does not start")

    def kill(self) -> None:
        """SIGKILL; harmless if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
