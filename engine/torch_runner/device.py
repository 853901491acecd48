"""Where a model computes: "cpu", "cuda" (the first device) or "cuda:N", and what may be asked of it.

Nothing of torch is needed here; cuda/read_devices.py reads the facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.torch_runner.dtype import NAMES
from protocol.errors import InvalidSpec

CPU = "cpu"
FORM = re.compile(r"cpu|cuda(?::(\d{1,3}))?")
BF16_CAPABILITY = (8, 0)
"""From Ampere on: CUDA C++ Programming Guide, arithmetic by compute capability."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """One CUDA device."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    total_bytes: int
    free_bytes: int

    @property
    def bf16(self) -> bool:
        """Whether it multiplies bf16."""
        return self.capability >= BF16_CAPABILITY


@dataclass(frozen=True, slots=True)
class Devices:
    """The CUDA devices that a process may use, by index."""

    found: tuple[DeviceFacts, ...]
    absence: str = ""
    """Why there is none."""


def device_index(device: str) -> int | None:
    """Its index; None for the CPU. Raises InvalidSpec for any other word."""
    match = FORM.fullmatch(device)
    if match is None:
        raise InvalidSpec(f"device {device!r} is not offered: cpu, cuda and cuda:N are", param="device")
    return None if device == CPU else int(match[1] or 0)


def device_facts(device: str, devices: Devices) -> DeviceFacts:
    """The facts of a CUDA device. Raises InvalidSpec if it is absent, with what is there instead."""
    index = device_index(device) or 0
    if index < len(devices.found):
        return devices.found[index]
    names = ", ".join(f"cuda:{at} ({one.name})" for at, one in enumerate(devices.found))
    raise InvalidSpec(
        f"device: there is no {device}; {devices.absence or f'this machine has {names}'}", param="device"
    )


def choose_device_dtype(wanted: str, facts: DeviceFacts) -> str:
    """ "float32" or "bfloat16"; "auto" is bfloat16. Raises InvalidSpec if the device lacks it."""
    if wanted != "auto" and wanted not in NAMES:
        raise InvalidSpec(f"dtype {wanted!r} is not offered: auto, fp32 and bf16 are", param="dtype")
    dtype = "bfloat16" if wanted == "auto" else NAMES[wanted]
    if dtype == "bfloat16" and not facts.bf16:
        major, minor = facts.capability
        raise InvalidSpec(
            f"dtype: {facts.name} (compute capability {major}.{minor}) does not compute in bf16; "
            "write `dtype: fp32`",
            param="dtype",
        )
    return dtype


def check_device_formats(device: str, weights: str, kv_dtype: str) -> None:
    """Raises InvalidSpec for weights or KV in int8, which only the CPU's kernels read."""
    for key, wanted in (("weights", weights), ("kv_dtype", kv_dtype)):
        if wanted != "model":
            raise InvalidSpec(f"{key}: {wanted} is not offered on {device}", param=key)


def check_device_memory(device: str, facts: DeviceFacts, kv_bytes: int) -> None:
    """Raises InvalidSpec if KV memory of `kv_bytes`, all workers of the device together, does not fit
    into what is free there."""
    if kv_bytes > facts.free_bytes:
        raise InvalidSpec(
            f"kv_memory: {kv_bytes >> 20} MiB do not fit into the {facts.free_bytes >> 20} MiB that are "
            f"free on {device} ({facts.name})",
            param="kv_memory",
        )
