"""A weight in int8, as the kernels of linear_int8.h read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

GROUP = 128
"""Numbers along K that share a scale: linear_int8.h says the same, and the library is asked."""
COLUMNS = 64
"""Outputs of one panel."""
MOST = 127
PANELS_AT_ONCE = 64
"""So that a large weight never stands in memory as floats."""


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """[n, k] in panels: symmetric, each group's largest number is 127 times its scale."""

    items: torch.Tensor
    """uint8 [panels, k / 4, COLUMNS, 4]: the number plus 128."""
    scales: torch.Tensor
    """fp32 [panels, k / GROUP, COLUMNS]."""
    n: int
    k: int

    @property
    def num_bytes(self) -> int:
        """What a step reads of it."""
        return self.items.numel() + self.scales.numel() * self.scales.element_size()


def plain_memory(num_bytes: int) -> torch.Tensor:
    """uint8 [num_bytes]."""
    return torch.empty(num_bytes, dtype=torch.uint8)


def quantised(weight: torch.Tensor, memory: Callable[[int], torch.Tensor] = plain_memory) -> Int8Weight:
    """Of [n, k], any float dtype. Numbers that round to one of 255 are off by half a scale at most.
    `memory` gives room for the items."""
    n, k = weight.shape
    panels, groups = -(-n // COLUMNS), -(-k // GROUP)
    items = memory(panels * groups * GROUP * COLUMNS).view(panels, groups * GROUP // 4, COLUMNS, 4)
    scales = torch.empty(panels, groups, COLUMNS)
    for first in range(0, panels, PANELS_AT_ONCE):
        last = min(first + PANELS_AT_ONCE, panels)
        rows = weight[first * COLUMNS : last * COLUMNS].float()
        rows = pad(rows, (0, groups * GROUP - k, 0, (last - first) * COLUMNS - len(rows)))
        grouped = rows.view(-1, groups, GROUP)
        scale = grouped.abs().amax(-1) / MOST
        grouped.div_(torch.where(scale > 0, scale, 1.0)[..., None]).round_().add_(MOST + 1)
        items[first:last] = rows.view(last - first, COLUMNS, -1, 4).transpose(1, 2)
        scales[first:last] = scale.view(last - first, COLUMNS, groups).transpose(1, 2)
    return Int8Weight(items, scales, n, k)


def interleaved(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """[2n, k] of two [n, k], n made a multiple of half a panel: each panel is half gate and half up."""
    half = COLUMNS // 2
    short = -len(gate) % half
    both = torch.stack([pad(part.detach(), (0, 0, 0, short)) for part in (gate, up)])
    return both.view(2, -1, half, gate.shape[1]).transpose(0, 1).reshape(-1, gate.shape[1])


def restored(weight: Int8Weight) -> torch.Tensor:
    """fp32 [n, k]: the numbers that the kernels multiply by."""
    panels, groups, _ = weight.scales.shape
    numbers = weight.items.float().sub_(MOST + 1).transpose(1, 2).reshape(panels * COLUMNS, groups, GROUP)
    scaled = numbers * weight.scales.transpose(1, 2).reshape(-1, groups, 1)
    return scaled.view(panels * COLUMNS, -1)[: weight.n, : weight.k]
