"""The built kernels, with their C types. Who calls them keeps the tensors alive and contiguous."""

from __future__ import annotations

import logging
from ctypes import CDLL, Structure, c_float, c_int64, c_void_p
from pathlib import Path

import torch

from engine.torch_runner.dtype import cpu_flags
from engine.torch_runner.native.compiler import built_library
from protocol.errors import EngineFailed

logger = logging.getLogger(__name__)

AMX_ROWS = 16
"""Where the matmul library has AMX, it is faster than the dot products above this many rows."""


class Piece(Structure):
    """One slice: see attention.cpp."""

    _fields_ = [(name, c_int64) for name in ("row", "count", "start", "table")]


class AttentionArguments(Structure):
    """What baton::Call is; strides in items."""

    _fields_ = [
        *((name, c_void_p) for name in ("query", "keys", "values", "out", "sinks", "pieces", "tables")),
        *((name, c_int64) for name in ("num_pieces", "query_head_step", "query_token_step", "block_step")),
        *((name, c_int64) for name in ("block_size", "kv_heads", "group", "k_dim", "v_dim", "window")),
        ("threads", c_int64),
        ("scale", c_float),
        ("softcap", c_float),
    ]


class Segment(Structure):
    """One weight of a linear call and where its outputs go."""

    _fields_ = [
        *((name, c_void_p) for name in ("weight", "bias", "residual", "out")),
        ("out_step", c_int64),
        ("n", c_int64),
    ]


class Heads(Structure):
    """Heads that are normed and rotated in place."""

    _fields_ = [("x", c_void_p), ("weight", c_void_p), ("heads", c_int64), ("token_step", c_int64)]


class NativeLibrary:
    """The functions of one shared library, on `threads` threads."""

    def __init__(self, path: Path, threads: int) -> None:
        self.threads = threads
        loaded = CDLL(str(path))
        size, pointer = c_int64, c_void_p
        self.attend = {
            torch.float32: loaded.baton_attend_float32,
            torch.bfloat16: loaded.baton_attend_bfloat16,
        }
        for attend in self.attend.values():
            attend.argtypes, attend.restype = [pointer], None
        self.store = loaded.baton_store
        self.store.argtypes = [pointer, size, size, pointer, size, size, pointer, pointer, *[size] * 4]
        self.norm = {torch.float32: loaded.baton_norm_float32, torch.bfloat16: loaded.baton_norm_bfloat16}
        for norm in self.norm.values():
            norm.argtypes = [pointer, pointer, pointer, size, size, c_float, size]
        self.rotate = loaded.baton_rotate_bfloat16
        self.rotate.argtypes = [pointer, size, pointer, pointer, size, size, c_float, size]
        self.gate = loaded.baton_gate_bfloat16
        self.gate.argtypes = [pointer, pointer, size, size]
        loaded.baton_linear_rows.restype = size
        self.linear_rows = _linear_rows(loaded.baton_linear_rows())
        if self.linear_rows:
            self.linear = loaded.baton_linear
            self.linear.argtypes = [pointer, size, size, size, pointer, size, size]
            self.gated = loaded.baton_gated
            self.gated.argtypes = [pointer, size, size, size, pointer, pointer, pointer, size, size]
            self.attend[torch.int8] = loaded.baton_attend_int8
            self.attend[torch.int8].argtypes, self.attend[torch.int8].restype = [pointer], None
            self.store_int8 = loaded.baton_store_int8
            self.store_int8.argtypes = [
                pointer,
                size,
                size,
                pointer,
                size,
                size,
                pointer,
                pointer,
                *[size] * 3,
            ]
            self.decode = loaded.baton_decode
            self.decode.argtypes, self.decode.restype = [pointer, pointer], None
            self._take_packed(loaded)

    @property
    def packs(self) -> bool:
        """Whether packed weights pay: not where the matmul library has AMX."""
        return bool(self.linear_rows) and "amx_bf16" not in cpu_flags()

    def _take_packed(self, loaded: CDLL) -> None:
        size, pointer = c_int64, c_void_p
        self.pack, self.unpack = loaded.baton_pack, loaded.baton_unpack
        for pack in (self.pack, self.unpack):
            pack.argtypes, pack.restype = [pointer, pointer, pointer, size, size, size], None
        self.huge_pages = loaded.baton_huge_pages
        self.huge_pages.argtypes, self.huge_pages.restype = [pointer, size], None
        self.panels = loaded.baton_panels
        self.panels.argtypes, self.panels.restype = [pointer, size, size, pointer, size], None
        self.gated_panels = loaded.baton_gated_panels
        self.gated_panels.argtypes = [pointer, size, size, pointer, pointer, size, size]
        self.gated_panels.restype = None
        self.decode_packed = loaded.baton_decode_packed
        self.decode_packed.argtypes, self.decode_packed.restype = [pointer, pointer], None


def load_native(threads: int) -> NativeLibrary | None:
    """The kernels for this CPU, or None, with one line in the log, where they cannot be built."""
    try:
        return NativeLibrary(built_library(), threads)
    except (EngineFailed, OSError) as error:
        logger.warning("no native kernels, so the slower torch ones run instead: %s", error)
        return None


def _linear_rows(built: int) -> int:
    return min(built, AMX_ROWS) if "amx_bf16" in cpu_flags() else built
