"""A cluster without Ray: workers, gateway and HTTP server of one spec in one process, and an engine
process for each worker. `python -m benchmarks.plain_server SPEC.yaml`; SIGTERM ends it.

It is the product but for Ray: the same worker entry, gateway entry and links, and a directory in memory.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvicorn

from cluster.gateway_entry import build_gateway
from cluster.listeners import take_in_many
from cluster.preflight import prepared
from cluster.spare_cores import leave_decode_cores
from cluster.spec import Spec
from cluster.spec_reader import read_spec
from cluster.worker_entry import WorkerPlace, build_worker
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory

START_S = 600.0
STOP_S = 5.0


async def serve(spec: Spec) -> None:
    """Until SIGTERM or SIGINT, which uvicorn takes."""
    directory = MemoryDirectory(LoopClock())
    pools = (("prefill", spec.pools.prefill), ("decode", spec.pools.decode))
    places = [WorkerPlace(role, rank, "") for role, pool in pools for rank in range(pool.replicas)]
    async with AsyncExitStack() as stack:
        workers = [build_worker(spec, place, directory) for place in places]
        for worker in workers:
            stack.push_async_callback(worker.stop, STOP_S)
        await asyncio.gather(*(worker.start(START_S) for worker in workers))
        gateway = await build_gateway(spec, directory)
        stack.push_async_callback(gateway.stop)
        take_in_many()
        host, port = spec.gateway.host, spec.gateway.port
        config = uvicorn.Config(gateway.app, host=host, port=port, log_level="warning", access_log=False)
        await uvicorn.Server(config).serve(sockets=[config.bind_socket()])


def main() -> None:
    """Serves the spec named on the command line."""
    spec = prepared(read_spec(Path(sys.argv[1])))
    leave_decode_cores(spec)
    asyncio.run(serve(spec))


if __name__ == "__main__":
    main()
