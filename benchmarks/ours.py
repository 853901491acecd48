"""Our own server: the product's parts, with Ray (`baton up`) or without it (benchmarks/plain_server.py)."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import ServerCommand
from benchmarks.stream_client import Endpoint
from cluster.preflight import free_port

NAME = "bench"
BATON = "from cluster.cli import app; app(prog_name='baton')"
KV_MEMORY = "3GiB"
"""Of each worker; the other engines get as much."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which workers, and on which cores."""

    system: str
    prefill_cores: tuple[int, ...]
    """Empty: no prefill worker; the decode worker computes its own prompts."""
    decode_cores: tuple[int, ...]
    with_ray: bool
    max_batch_tokens: int = 512


def our_server(shape: Shape, model: Path, work: Path) -> ServerCommand:
    """Writes the spec below `work` and says how it is started."""
    port = free_port("127.0.0.1")
    work.mkdir(parents=True, exist_ok=True)
    spec = work / f"{shape.system.replace(' ', '-').replace('+', '')}.yaml"
    spec.write_text(json.dumps(spec_document(shape, model, port)), encoding="utf-8")  # JSON is YAML
    if shape.with_ray:
        start: tuple[str, ...] = (
            "-c",
            "from cluster.cli import app; app(prog_name='baton')",
            "up",
            str(spec),
        )
        environment: tuple[tuple[str, str], ...] = (("BATON_RUN_DIR", str(work / "run")),)
    else:
        start, environment = ("-m", "benchmarks.plain_server", str(spec)), ()
    return ServerCommand(
        system=shape.system,
        argv=(sys.executable, *start),
        endpoint=Endpoint(port, NAME),
        ready_path="/ready",
        environment=environment,
    )


def spec_document(shape: Shape, model: Path, port: int) -> dict[str, object]:
    """The spec, as it would stand in a file."""
    return {
        "model": str(model),
        "served_name": NAME,
        "dtype": "bf16",
        "kv_memory": KV_MEMORY,
        "pools": {
            "prefill": _pool(shape.prefill_cores),
            "decode": _pool(shape.decode_cores),
        },
        "gateway": {"port": port},
        "scheduling": {"max_batch_tokens": shape.max_batch_tokens},
    }


def _pool(cores: tuple[int, ...]) -> dict[str, object]:
    return {"replicas": 1, "cores": list(cores), "threads": len(cores)} if cores else {"replicas": 0}
