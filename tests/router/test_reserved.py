"""Memory that is reserved at once and committed as it is touched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from router.reserved import reserved

SIZE = 1 << 30


def resident_bytes() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_is_taken_where_it_is_written() -> None:
    """A gigabyte of zeros costs next to nothing until somebody writes there."""
    before = resident_bytes()
    area = reserved((SIZE // 64, 8), np.uint64)
    assert not area[:: SIZE // 640].any()
    area[-100:] = 7
    assert area.shape == (SIZE // 64, 8) and int(area[-1, -1]) == 7
    assert resident_bytes() - before < SIZE // 100
