"""Asks CUDA for its devices. `python -m engine.torch_runner.cuda.read_devices` prints them as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

import torch

from engine.torch_runner.device import DeviceFacts, Devices


def read_devices() -> Devices:
    """As this process sees them; it holds a CUDA context from now on."""
    if torch.version.cuda is None:
        return Devices((), "this torch is built without CUDA")
    if not torch.cuda.is_available():
        return Devices((), "torch finds no GPU that it can use")
    return Devices(tuple(_read(index) for index in range(torch.cuda.device_count())))


def _read(index: int) -> DeviceFacts:
    facts = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    return DeviceFacts(facts.name, (facts.major, facts.minor), facts.multi_processor_count, total, free)


if __name__ == "__main__":
    print(json.dumps(asdict(read_devices())))
