"""Memory for a table that grows: reserved at once, committed as it is touched."""

from __future__ import annotations

import math
import mmap

import numpy as np
import numpy.typing as npt

HUGE_BYTES = 4 << 20
"""From here on huge pages: random reads then miss the translation buffer far less often."""


def reserved(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """An array of zeros. It takes address space now and memory where it is written, so growing into it
    copies nothing."""
    kind = np.dtype(dtype)
    area = mmap.mmap(-1, math.prod(shape) * kind.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if len(area) >= HUGE_BYTES:
        area.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(area, kind).reshape(shape)
