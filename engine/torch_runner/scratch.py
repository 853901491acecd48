"""Memory that is taken again and again, so that a step causes no page faults."""

from __future__ import annotations

import torch


class Scratch:
    """One buffer that grows to the largest shape asked for. What it held before is void."""

    def __init__(self) -> None:
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def take(self, rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
        """[rows, columns], uninitialised, valid until the next take."""
        size = rows * columns * dtype.itemsize
        if size > self._buffer.numel():
            self._buffer = torch.empty(size, dtype=torch.uint8)
        return self._buffer[:size].view(dtype).view(rows, columns)
