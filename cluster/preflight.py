"""What can be known to be wrong before anything is started."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

from cluster.cpu_preflight import check_cpu, check_memory
from cluster.device_preflight import check_devices
from cluster.model_sizes import read_sizes
from cluster.spec import PoolSpec, Spec
from engine.torch_runner.dtype import cpu_flags
from engine.torch_runner.model_folder import open_folder, resolve_model
from gateway.text.model_text import load_model_text
from protocol.errors import BatonError, InvalidSpec


class PortTaken(BatonError):
    """Somebody else listens where the gateway should."""


def prepared(spec: Spec) -> Spec:
    """The spec with its model as a local folder. Raises one BatonError if it cannot be served here:
    UnsupportedModel, InvalidSpec or PortTaken."""
    check_port(spec.gateway.host, spec.gateway.port)
    _check_cores("pools.prefill", spec.pools.prefill)
    _check_cores("pools.decode", spec.pools.decode)
    if spec.computes:
        check_cpu(spec, cpu_flags())
    check_devices(spec)
    folder = resolve_model(spec.model, weights=spec.computes).resolve()
    if spec.computes:
        weights = sum(file.stat().st_size for file in open_folder(folder).weights)
        check_memory(spec, weights, _available_memory())
    else:
        read_sizes(folder)  # KV is a few bytes a token
    load_model_text(folder, time.time)
    return replace(spec, model=str(folder), served_name=spec.name)


def check_port(host: str, port: int) -> None:
    """Raises PortTaken if the address cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as wrong:
            raise PortTaken(
                f"cannot listen on {host}:{port}: {wrong.strerror}; choose another one with --port"
            ) from wrong


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _check_cores(path: str, pool: PoolSpec) -> None:
    missing = sorted(set(pool.cores) - os.sched_getaffinity(0))
    if missing:
        raise InvalidSpec(f"{path}.cores: this machine has no core {missing[0]}", param=f"{path}.cores")


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            return int(amount.split()[0]) << 10
    return 1 << 50
