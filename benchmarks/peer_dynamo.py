"""The control-plane peer: Dynamo with its mock engines, in an environment of its own (benchmarks/README.md).

Run as a program it is the launcher: `python -m benchmarks.peer_dynamo PYTHON MODEL PORT SPEEDUP` starts a
frontend and the workers, and ends them with itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.server import ServerCommand, end_on_sigterm
from benchmarks.stream_client import Endpoint
from cluster.preflight import free_port

NAME = "bench"
PYTHON_VARIABLE = "BATON_BENCH_DYNAMO_PYTHON"
BLOCK_SIZE, WORKERS = "16", "2"
WITHOUT_SERVICES = ("--discovery-backend", "file", "--request-plane", "tcp", "--event-plane", "zmq")
"""No etcd and no NATS is needed."""
STOP_S = 10.0


def add_dynamo_option(parser: argparse.ArgumentParser) -> None:
    """`--dynamo-python`."""
    parser.add_argument(
        "--dynamo-python",
        type=Path,
        default=os.environ.get(PYTHON_VARIABLE),
        help=f"python of the environment that has Dynamo (or {PYTHON_VARIABLE}); without it Dynamo is absent",
    )


def dynamo_server(system: str, python: Path, model: Path, speedup: float) -> ServerCommand:
    """How it is started: routed by KV, two workers of each kind."""
    port = free_port("127.0.0.1")
    return ServerCommand(
        system=system,
        argv=(
            *(sys.executable, "-m", "benchmarks.peer_dynamo"),
            *(str(python), str(model), str(port), str(speedup)),
        ),
        endpoint=Endpoint(port, NAME),
        ready_path="/v1/models",
    )


def commands(python: str, model: str, port: str, speedup: str) -> list[list[str]]:
    """Frontend, prefill workers, decode workers."""
    mocker = [
        *(python, "-m", "dynamo.mocker", "--model-path", model, "--model-name", NAME),
        *("--block-size", BLOCK_SIZE, "--num-workers", WORKERS, "--speedup-ratio", speedup),
        *WITHOUT_SERVICES,
    ]
    frontend = [
        *(python, "-m", "dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", port),
        *("--router-mode", "kv", "--kv-cache-block-size", BLOCK_SIZE, *WITHOUT_SERVICES),
    ]
    modes = [["--disaggregation-mode", mode] for mode in ("prefill", "decode")]
    return [frontend, *(mocker + mode for mode in modes)]


def main() -> None:
    """Until told to end, or until one of them ends."""
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="bd-") as folder:
        own = {"DYN_FILE_KV": folder, "HF_HUB_OFFLINE": "1", "DYN_TCP_RPC_HOST": "127.0.0.1"}
        environment = {**os.environ, **own}
        started = [subprocess.Popen(one, env=environment) for one in commands(*sys.argv[1:5])]
        try:
            started[0].wait()
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(STOP_S)


if __name__ == "__main__":
    main()
