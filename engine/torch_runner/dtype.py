"""Which numbers the model computes in."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import InvalidSpec

CPU_INFO = Path("/proc/cpuinfo")
FAST_BF16 = frozenset({"amx_bf16", "avx512_bf16"})
NAMES = {"float32": "float32", "fp32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16"}


def choose_dtype(wanted: str, cpu_flags: frozenset[str]) -> str:
    """ "float32" or "bfloat16". "auto" is bfloat16 only where the CPU multiplies it natively, since
    elsewhere it is slower than fp32 and less exact. Raises InvalidSpec for any other word."""
    if wanted == "auto":
        return "bfloat16" if cpu_flags & FAST_BF16 else "float32"
    if wanted not in NAMES:
        raise InvalidSpec(f"dtype {wanted!r} is not offered: auto, fp32 and bf16 are", param="dtype")
    return NAMES[wanted]


def cpu_flags() -> frozenset[str]:
    """Feature words of the first CPU; empty where Linux does not tell."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
