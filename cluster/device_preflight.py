"""What can be known to be wrong with the devices of a spec before anything is started."""

from __future__ import annotations

from collections.abc import Callable

from cluster.spec import PoolSpec, Spec
from engine.torch_runner.cuda.ask_devices import ask_devices
from engine.torch_runner.device import (
    Devices,
    check_device_formats,
    check_device_memory,
    choose_device_dtype,
    device_facts,
    device_index,
)


def check_devices(spec: Spec, ask: Callable[[], Devices] = ask_devices) -> None:
    """Raises InvalidSpec for a device that is absent, lacks the dtype, or has not so much memory free.
    A spec without devices asks nobody."""
    workers: dict[str, int] = {}
    for pool in (spec.pools.prefill, spec.pools.decode):
        if pool.replicas and device_index(spec.device_of(pool)) is not None:
            # "cuda" is another name of "cuda:0"
            name = f"cuda:{device_index(spec.device_of(pool))}"
            workers[name] = workers.get(name, 0) + pool.replicas
    devices = ask() if workers else Devices(())
    for name, count in workers.items():
        facts = device_facts(name, devices)
        check_device_formats(name, spec.weights, spec.kv_dtype)
        choose_device_dtype(spec.dtype, facts)
        check_device_memory(name, facts, count * spec.kv_memory)


def workers_on_cpu(spec: Spec) -> int:
    """Workers whose KV lies in host memory."""
    pools: tuple[PoolSpec, ...] = (spec.pools.prefill, spec.pools.decode)
    return sum(pool.replicas for pool in pools if device_index(spec.device_of(pool)) is None)
