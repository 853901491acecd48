"""A number of bytes, written as people write it: 256MiB."""

from __future__ import annotations

import re

UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class ByteSize(int):
    """Whole bytes. Prints in the largest binary unit that divides it."""

    @classmethod
    def parse(cls, written: object) -> ByteSize:
        """From 268435456 or "256MiB". Raises ValueError with what was expected."""
        if isinstance(written, int) and not isinstance(written, bool):
            return cls._positive(written, str(written))
        match = FORM.fullmatch(written) if isinstance(written, str) else None
        if match is None or match[2].lower() not in UNITS:
            raise ValueError(f'Expected bytes such as "256MiB" or "2GB", got {written!r}')
        return cls._positive(int(float(match[1]) * UNITS[match[2].lower()]), match[0])

    @classmethod
    def _positive(cls, size: int, written: str) -> ByteSize:
        if size <= 0:
            raise ValueError(f"Expected at least one byte, got {written.strip()!r}")
        return cls(size)

    def __str__(self) -> str:
        for unit in ("TiB", "GiB", "MiB", "KiB"):
            if self and self % UNITS[unit.lower()] == 0:
                return f"{self // UNITS[unit.lower()]}{unit}"
        return f"{int(self)}B"
