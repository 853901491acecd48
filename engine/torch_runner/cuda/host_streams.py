"""The shipped fake of Streams: host memory, where everything is over at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class HostMark:
    """A moment."""

    at: float

    def wait(self) -> None:
        """It is past."""


class HostStreams:
    """Lets the whole runner be tested without a device."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.device = torch.device("cpu")
        self._now = now

    def staging(self, items: int) -> torch.Tensor:
        """Memory with junk in it."""
        return torch.full((items,), -(1 << 40), dtype=torch.int64)

    def mark(self) -> HostMark:
        """Now."""
        return HostMark(self._now())

    def seconds(self, began: object, ended: object) -> float:
        """By the injected clock."""
        if not isinstance(began, HostMark) or not isinstance(ended, HostMark):
            raise TypeError("these marks are of other streams")
        return ended.at - began.at

    def fetch(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], HostMark]:
        """Copies, at once."""
        return tuple(one.clone() for one in tensors), self.mark()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """The work itself; it runs twice beforehand, as on a device, to warm up and to record."""
        work()
        work()
        return work
