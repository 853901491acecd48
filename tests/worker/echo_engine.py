"""An engine process for tests: python -m tests.worker.echo_engine MODE."""

from __future__ import annotations

import os
import socket
import sys
import time

from tests.worker.echo_core import LIMITS, EchoCore, echo_factory
from worker.engine_main import SOCKET_VARIABLE, run_engine
from worker.step_core import CoreFactory

GRANDCHILD_S = 8.0


def describe() -> EchoCore:
    """A core whose model name says how the process was set up."""
    cores = sorted(os.sched_getaffinity(0))
    print("described", flush=True)
    return EchoCore(f"cores={cores} threads={os.environ.get('OMP_NUM_THREADS')}")


def hang() -> EchoCore:
    """A load that never ends."""
    time.sleep(600)
    return EchoCore()


def leave() -> EchoCore:
    """A load that takes the process down without a word."""
    os._exit(7)


def leave_a_grandchild() -> EchoCore:
    """The same, while a process that was forked still holds the socket."""
    if os.fork() == 0:
        os.closerange(0, 3)  # whoever reads the test's output does not wait for it
        time.sleep(GRANDCHILD_S)
        os._exit(0)
    os._exit(7)


def say(data: bytes) -> EchoCore:
    """Bytes that are no mail."""
    socket.socket(fileno=os.dup(int(os.environ[SOCKET_VARIABLE]))).sendall(data)
    return hang()


MODES: dict[str, CoreFactory] = {
    "describe": describe,
    "hang": hang,
    "leave": leave,
    "grandchild": leave_a_grandchild,
    "garbage": lambda: say(b"\0\0\0\4junk"),
    "giant": lambda: say(b"\xff\xff\xff\xffx"),
}

if __name__ == "__main__":
    mode = sys.argv[1]
    sys.exit(run_engine(MODES.get(mode) or echo_factory(mode), LIMITS, os.environ))
