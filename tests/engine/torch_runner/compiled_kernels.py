"""The Triton kernels through Triton's compiler, for a device that is not here. Run by test_triton_kernels.py
in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from engine.torch_runner.cuda.attention_kernel import attend_kernel, join_kernel
from engine.torch_runner.cuda.store_kernel import store_kernel
from engine.torch_runner.cuda.triton_attention import _keys_at_once, _queries_at_once, _tile

HOPPER = GPUTarget("cuda", 90, 32)
HOPPER_SHARED = 227 << 10
"""Bytes of shared memory of one block: CUDA C++ Programming Guide, compute capability 9.0."""
ITEM = {"bf16": 2, "fp32": 4}
TABLES = ("rows", "counts", "starts", "begins", "blocks")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing compiled before counts."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(kernel: Any, types: dict[str, str], constants: Mapping[str, object], stages: int = 3) -> Any:
    """For Hopper."""
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    return compile(
        ASTSource(kernel, signature, constexprs=dict(constants)), HOPPER, options={"num_stages": stages}
    )


@pytest.mark.parametrize(
    ("numbers", "dim", "decode", "special"),
    [
        ("bf16", 128, True, True),
        ("bf16", 128, False, False),
        ("bf16", 80, False, True),
        ("fp32", 512, False, False),
    ],
)
def test_attention_compiles_for_hopper(numbers: str, dim: int, decode: bool, special: bool) -> None:
    """Decode steps in parts, and chunks, as they are launched: the tiles fit into shared memory, and
    bf16 is multiplied by the tensor cores."""
    tile, splits, group = _tile(dim), 8 if decode else 1, 4
    pointers = dict.fromkeys(("query", "keys", "values", "out", "logs", "sinks"), f"*{numbers}")
    types = {name: "i32" for name in attend_kernel.arg_names} | pointers | dict.fromkeys(TABLES, "*i64")
    types |= {"scale": "fp32", "softcap": "fp32"}
    if decode:
        types |= {"out": "*fp32", "logs": "*fp32"}
    if special:
        types["sinks"] = "*fp32"
    rows = _tile(group) if decode else _queries_at_once(tile * ITEM[numbers])
    constants = {
        "GROUP": group, "BLOCK_SIZE": 16, "K_DIM": dim, "V_DIM": dim, "TILE_M": rows,
        "TILE_N": _keys_at_once(tile * ITEM[numbers]), "TILE_K": tile, "TILE_V": tile, "SPLITS": splits,
        "HAS_WINDOW": special, "HAS_SOFTCAP": special, "HAS_SINKS": special,
    }  # fmt: skip
    built = compiled(attend_kernel, types, constants, stages=2)
    assert built.metadata.shared <= HOPPER_SHARED
    assert ("mma" in built.asm["ptx"]) is (numbers == "bf16")


def test_joining_and_storing_compile_for_hopper() -> None:
    """So do the small kernels."""
    joined = {"V_DIM": 80, "TILE_V": 128, "SPLITS": 8, "HAS_SINKS": True}
    fp32 = dict.fromkeys(("parts", "logs", "sinks"), "*fp32")
    assert compiled(join_kernel, {**fp32, "out": "*bf16", "rows": "*i64"}, joined).asm["cubin"]
    types = {name: "i32" for name in store_kernel.arg_names}
    types |= dict.fromkeys(("key", "value", "keys", "values"), "*bf16")
    types |= {"blocks": "*i64", "offsets": "*i64"}
    stored = {"BLOCK_SIZE": 16, "K_DIM": 80, "V_DIM": 64, "TILE_K": 128, "TILE_V": 64}
    assert compiled(store_kernel, types, stored).asm["cubin"]
