"""The int8 functions of the built kernels, with their C types."""

from __future__ import annotations

from ctypes import CDLL, Structure, c_int64, c_void_p
from pathlib import Path

import torch

from engine.torch_runner.native.int8_weight import COLUMNS, GROUP
from protocol.errors import EngineFailed

HUGE_PAGE = 2 << 20


class WeightArguments(Structure):
    """What baton::int8::Weight is."""

    _fields_ = [("items", c_void_p), ("scales", c_void_p), ("n", c_int64), ("k", c_int64)]


class Output(Structure):
    """What baton::int8::Output is."""

    _fields_ = [
        *((name, c_void_p) for name in ("bias", "residual", "out")),
        ("out_step", c_int64),
        ("n", c_int64),
    ]


class GatedOutput(Structure):
    """What baton::int8::GatedOutput is."""

    _fields_ = [("out", c_void_p), ("n", c_int64)]


class Int8Kernels:
    """Who calls these keeps the tensors alive and contiguous."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises EngineFailed where the library was built for a CPU that lacks the instructions."""
        loaded = CDLL(str(path))
        size, pointer = c_int64, c_void_p
        for name, expected in (("baton_int8_group", GROUP), ("baton_int8_columns", COLUMNS)):
            ask = getattr(loaded, name)
            ask.restype = size
            if ask() != expected:
                raise EngineFailed(
                    "this CPU lacks the instructions that int8 needs (avx512_vnni, avx512_bf16)"
                )
        self.threads = threads
        self.linear = loaded.baton_linear_int8
        self.linear.argtypes = [pointer, size, size, pointer, pointer, pointer, size]
        self.linear.restype = None
        self.gated = loaded.baton_gated_int8
        self.gated.argtypes, self.gated.restype = self.linear.argtypes, None
        self._huge_pages = loaded.baton_huge_pages
        self._huge_pages.argtypes, self._huge_pages.restype = [pointer, size], None
        self.decode = loaded.baton_decode_int8
        self.decode.argtypes, self.decode.restype = [pointer, pointer], None

    def memory(self, num_bytes: int) -> torch.Tensor:
        """uint8 [num_bytes]. Large ones begin a huge page, so that few walks through page tables disturb
        the reading."""
        if num_bytes < HUGE_PAGE:
            return torch.empty(num_bytes, dtype=torch.uint8)
        raw = torch.empty(num_bytes + HUGE_PAGE, dtype=torch.uint8)
        skip = -raw.data_ptr() % HUGE_PAGE
        self._huge_pages(raw.data_ptr() + skip, num_bytes)
        return raw[skip : skip + num_bytes]
