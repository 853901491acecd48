"""The engine peer: vLLM on CPU, from a virtual environment of its own (benchmarks/README.md)."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import ServerCommand
from benchmarks.stream_client import Endpoint
from cluster.preflight import free_port

PYTHON_VARIABLE = "BATON_BENCH_VLLM_PYTHON"
DEFAULT, SMALL_CHUNKS = "vLLM", "vLLM 256"
BOTH_CORES, BOTH_SMALL = "vLLM all cores", "vLLM all cores 256"
NAME = "bench"
KV_GIB = "3"
MAX_CONTEXT = "4096"
SMALL = ("--max-num-batched-tokens", "256")
"""Small prefill chunks: vLLM's own answer to interference."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to start it."""

    options: tuple[str, ...]
    all_cores: bool
    """By default vLLM leaves one core of a machine to its API server."""


SETTINGS = {
    DEFAULT: Setting((), False),
    SMALL_CHUNKS: Setting(SMALL, False),
    BOTH_CORES: Setting((), True),
    BOTH_SMALL: Setting(SMALL, True),
}


def add_vllm_option(parser: argparse.ArgumentParser) -> None:
    """`--vllm-python` and `--vllm-settings`."""
    parser.add_argument(
        "--vllm-python",
        type=Path,
        default=os.environ.get(PYTHON_VARIABLE),
        help=f"python of the environment that has vLLM (or {PYTHON_VARIABLE}); without it vLLM is absent",
    )
    parser.add_argument(
        "--vllm-settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="default: all"
    )


def vllm_server(system: str, python: Path, model: Path, cores: tuple[int, ...]) -> ServerCommand:
    """How vLLM is started in one of SETTINGS; `cores` are those to use where it is bound to all."""
    port, setting = free_port("127.0.0.1"), SETTINGS[system]
    named = ",".join(map(str, cores))
    binding = (("VLLM_CPU_OMP_THREADS_BIND", named),) if setting.all_cores else ()
    return ServerCommand(
        system=system,
        argv=(
            *(str(python), "-m", "vllm.entrypoints.cli.main", "serve", str(model)),
            *("--served-model-name", NAME, "--dtype", "bfloat16", "--max-model-len", MAX_CONTEXT),
            *("--host", "127.0.0.1", "--port", str(port)),
            *setting.options,
        ),
        endpoint=Endpoint(port, NAME),
        ready_path="/health",
        environment=(
            ("VLLM_CPU_KVCACHE_SPACE", KV_GIB),
            ("VLLM_NO_USAGE_STATS", "1"),
            ("HF_HUB_OFFLINE", "1"),
            *binding,
        ),
    )
