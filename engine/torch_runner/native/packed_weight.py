"""Weights in panels, as packed.h reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.torch_runner.native.library import NativeLibrary

PANEL = 64
"""Columns of a panel: packed.h says the same."""
HUGE_PAGE = 2 << 20


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """One weight [n, k], or two of which each panel holds halves. k is even."""

    items: torch.Tensor
    """bf16 [panels, k / 2, PANEL, 2]"""
    n: int
    k: int
    parts: int

    @property
    def address(self) -> int:
        """Of the first panel."""
        return self.items.data_ptr()

    @property
    def num_bytes(self) -> int:
        """What a step reads of it."""
        return self.items.numel() * self.items.element_size()


def packed(library: NativeLibrary, *parts: torch.Tensor) -> PackedWeight:
    """Of one contiguous bf16 weight [n, k], or of two that are computed together."""
    n, k = parts[0].shape
    width = PANEL // len(parts)
    items = _memory(library, -(-n // width) * PANEL * k).view(-1, k // 2, PANEL, 2)
    second = parts[1].data_ptr() if len(parts) > 1 else None
    library.pack(parts[0].data_ptr(), second, items.data_ptr(), n, k, library.threads)
    return PackedWeight(items, n, k, len(parts))


def unpacked(library: NativeLibrary, weight: PackedWeight) -> tuple[torch.Tensor, ...]:
    """What `packed` was given."""
    parts = tuple(weight.items.new_empty(weight.n, weight.k) for _ in range(weight.parts))
    second = parts[1].data_ptr() if len(parts) > 1 else None
    library.unpack(parts[0].data_ptr(), second, weight.address, weight.n, weight.k, library.threads)
    return parts


def _memory(library: NativeLibrary, items: int) -> torch.Tensor:
    """bf16 zeros. Large ones begin a huge page, so that few walks through page tables disturb the reading."""
    if items * 2 < HUGE_PAGE:
        return torch.zeros(items, dtype=torch.bfloat16)
    raw = torch.empty(items + HUGE_PAGE // 2, dtype=torch.bfloat16)
    skip = -raw.data_ptr() % HUGE_PAGE // 2
    memory = raw[skip : skip + items]
    library.huge_pages(memory.data_ptr(), 2 * items)
    return memory.zero_()
