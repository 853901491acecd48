"""What KV is stored in."""

from __future__ import annotations

import torch

from engine.torch_runner.native.library import NativeLibrary
from protocol.errors import InvalidSpec

FORMATS = ("model", "int8")


def check_kv_dtype(wanted: str, dtype: str) -> None:
    """Raises InvalidSpec for a format that does not exist, or that `dtype` does not go with."""
    if wanted not in FORMATS:
        raise InvalidSpec(
            f"kv_dtype {wanted!r} is not offered: {' and '.join(FORMATS)} are", param="kv_dtype"
        )
    if wanted == "int8" and dtype != "bfloat16":
        raise _refused("it is read as bf16, and dtype is fp32 here")


def kv_stored_in(wanted: str, dtype: str, native: NativeLibrary | None) -> str:
    """The dtype of the KV layout for a model that computes in `dtype`. Raises InvalidSpec for a format that
    does not exist, or cannot be had here."""
    check_kv_dtype(wanted, dtype)
    if wanted == "model":
        return dtype
    if native is None:
        raise _refused("it needs the native kernels, which cannot be built here (the log says why)")
    if torch.int8 not in native.attend:
        raise _refused("the CPU lacks the instructions for it (avx512_bf16)")
    return "int8"


def _refused(reason: str) -> InvalidSpec:
    return InvalidSpec(f"kv_dtype: int8 cannot be had: {reason}; write `kv_dtype: model`", param="kv_dtype")
