"""How much memory this process has."""

from __future__ import annotations

from pathlib import Path


def resident_bytes(field: str = "VmRSS") -> int:
    """VmRSS, or VmHWM: the most there ever was."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"no {field} in /proc/self/status")
