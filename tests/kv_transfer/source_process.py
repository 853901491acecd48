"""Real sources, each in a process of its own: `python -m tests.kv_transfer.source_process FD`.

FD is a Unix socket. Every message on it is one JSON list of arguments with a socket attached; a fork
then serves an arena and talks over that socket, one JSON value per line. Forking a process that has
imported everything makes a source start in half a second instead of several.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import sys
import time

import msgspec

from kv_transfer.nixl_agent import load_nixl
from kv_transfer.nixl_transport import NixlSettings, NixlTransport
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from tests.kv_transfer.memory_scene import facts_of
from tests.kv_transfer.transport_scene import content, source_arena

PAUSE_S = 0.0003
"""Between two rewrites, so that a read sees some blocks rewritten and others not."""


def serve(talk: socket.socket, name: str, incarnation: str, config: str, blocks: int, size: int) -> None:
    """Says its pid and facts, answers "publish" and "reuse" with its generations, until its input ends."""
    arena = source_arena(blocks, size)
    identity = WorkerIdentity(WorkerId(name), Incarnation(incarnation))
    transport = NixlTransport(identity, arena, time.monotonic, NixlSettings(config))
    lines = talk.makefile("rb")
    talk.sendall(msgspec.json.encode((os.getpid(), facts_of(identity, transport, arena))) + b"\n")
    dice = random.Random(7)
    reusing = False
    while True:
        if reusing and not select.select([talk], [], [], PAUSE_S)[0]:
            block = dice.randrange(blocks)
            fresh = content(block, int(arena.generations[block]) + 1, size)
            arena.generations[block] += 1
            arena.data[block] = fresh
            continue
        line = lines.readline()
        if not line:
            break
        reusing = reusing or line == b"reuse\n"
        talk.sendall(json.dumps([int(number) for number in arena.generations]).encode() + b"\n")
    transport.close()


def main() -> None:
    """Forks one source per message, until the socket is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    load_nixl()
    control = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            return
        if os.fork() == 0:
            control.close()
            serve(socket.socket(fileno=fds[0]), *json.loads(message))
            os._exit(0)
        os.close(fds[0])


if __name__ == "__main__":
    main()
