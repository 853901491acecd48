"""A process that starts an engine, prints its pid and waits to be killed."""

from __future__ import annotations

import asyncio
import sys

from protocol.clock import LoopClock
from tests.worker.echo_core import LIMITS
from worker.engine_process import ChildCommand, ChildHost


async def main(mode: str) -> None:
    """Never returns."""
    argv = (sys.executable, "-m", "tests.worker.echo_engine", mode)
    host = ChildHost(ChildCommand(argv), LoopClock(), LIMITS)
    starting = asyncio.ensure_future(host.start(60.0))
    while host.pid is None:
        await asyncio.sleep(0.01)
    if mode == "echo":
        await starting
    print(host.pid, flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
