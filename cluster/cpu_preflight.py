"""What can be known to be wrong with the workers on CPU of a spec before anything is started."""

from __future__ import annotations

from cluster.byte_size import ByteSize
from cluster.device_preflight import workers_on_cpu
from cluster.spec import Spec
from engine.torch_runner.dtype import choose_dtype
from engine.torch_runner.kv_dtype import check_kv_dtype
from engine.torch_runner.weights import check_weights
from protocol.errors import InvalidSpec

MAX_MEMORY_SHARE = 0.9
INT8_FLAGS = ("avx512_vnni", "avx512_bf16")
"""What the int8 kernels are written with."""


def check_cpu(spec: Spec, flags: frozenset[str]) -> None:
    """Raises InvalidSpec for a format that does not go with the dtype, or that a CPU with these feature
    words lacks. What only the model itself can tell is refused when it is loaded."""
    if not workers_on_cpu(spec):
        return
    dtype = choose_dtype(spec.dtype, flags)
    check_weights(spec.weights, dtype)
    check_kv_dtype(spec.kv_dtype, dtype)
    missing = [flag for flag in INT8_FLAGS if flag not in flags]
    for key, wanted in (("weights", spec.weights), ("kv_dtype", spec.kv_dtype)):
        if wanted == "int8" and missing:
            raise InvalidSpec(
                f"{key}: int8 cannot be had: this CPU lacks {missing[0]}; write `{key}: model`", param=key
            )


def check_memory(spec: Spec, weights_bytes: int, available: int) -> None:
    """Raises InvalidSpec if the KV memory of all workers on CPU and their weights, `weights_bytes` each,
    do not fit into `available` bytes."""
    workers = workers_on_cpu(spec)
    if workers * (spec.kv_memory + weights_bytes) > available * MAX_MEMORY_SHARE:
        raise InvalidSpec(
            f"kv_memory: {workers} workers with {spec.kv_memory} each do not fit into the "
            f"{_mib(available)} that are free, with {_mib(weights_bytes)} of weights each",
            param="kv_memory",
        )


def _mib(count: int) -> ByteSize:
    return ByteSize(count >> 20 << 20)
