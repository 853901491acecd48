"""Memory for a table that grows: reserved at once, committed as it is touched."""

from __future__ import annotations

import math
import mmap
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)


def reserved(shape: tuple[int, ...], kind: type[Kind]) -> npt.NDArray[Kind]:
    """An array of zeros. It takes address space now and memory page by page where it is written, so growing
    into it copies nothing. Pages are small: numpy's own zeros ask for huge ones, whose clearing can hold a
    request up for milliseconds, and look-ups are no faster with them."""
    size = math.prod(shape) * np.dtype(kind).itemsize
    area = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(area, kind).reshape(shape)
