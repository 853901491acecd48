"""Asks CUDA for its devices. `python -m engine.torch_runner.cuda.read_devices` prints them as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch

from engine.torch_runner.device import DeviceFacts, Devices


def read_devices(measured: int | None = None) -> Devices:
    """As this process sees them. It holds a CUDA context on device `measured` from now on, of which
    the free memory is asked, and of no other one; None: on each."""
    if torch.version.cuda is None:
        return Devices((), "this torch is built without CUDA")
    if not torch.cuda.is_available():
        return Devices((), "torch finds no GPU that it can use")
    found = (_read(index, measured in (None, index)) for index in range(torch.cuda.device_count()))
    return Devices(tuple(found))


def _read(index: int, measure: bool) -> DeviceFacts:
    facts = torch.cuda.get_device_properties(index)
    total = int(facts.total_memory)
    free = torch.cuda.mem_get_info(index)[0] if measure else total
    return DeviceFacts(facts.name, (facts.major, facts.minor), facts.multi_processor_count, total, free)


if __name__ == "__main__":
    print(json.dumps(asdict(read_devices())))
