"""How one read of the memory transport goes: the injected source of delays and faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocol.ids import WorkerIdentity


@dataclass(frozen=True, slots=True)
class ReadFate:
    """The course of one read. Seconds; a stalled read goes on afterwards, however late that is."""

    first_s: float = 0.0005
    """Until the first block lands."""
    each_s: float = 0.00005
    """From one block to the next."""
    stall_at: int | None = None
    """This many blocks land, then nothing for `stall_s`."""
    stall_s: float = 0.0
    fail_at: int | None = None
    """This many blocks land, then junk in part of the next one, then FAILED."""

    def wait_before(self, landed: int) -> float:
        """Seconds until the next block lands, when `landed` have."""
        wait = self.first_s if landed == 0 else self.each_s
        return wait + self.stall_s if landed == self.stall_at else wait


class ReadFates(Protocol):
    """Decides how reads go. Called once per read, in the order of posting."""

    def fate(self, source: WorkerIdentity, reader: WorkerIdentity, blocks: int) -> ReadFate:
        """The course of a read of `blocks` blocks."""
        ...


class CalmFates:
    """Every read works, after the same small delay."""

    def __init__(self, fate: ReadFate | None = None) -> None:
        self._fate = fate or ReadFate()

    def fate(self, source: WorkerIdentity, reader: WorkerIdentity, blocks: int) -> ReadFate:
        """The same for all."""
        return self._fate


@dataclass(frozen=True, slots=True)
class FaultRates:
    """Probabilities per read, and how bad it gets."""

    stall: float = 0.0
    fail: float = 0.0
    max_first_s: float = 0.005
    max_each_s: float = 0.0005
    max_stall_s: float = 60.0
    """Beyond every deadline of the reader, so that bytes land in blocks it has given up."""


class DrawnFates:
    """Fates drawn from a seeded source of uniform numbers in [0, 1)."""

    def __init__(self, draw: Callable[[], float], rates: FaultRates) -> None:
        self._draw = draw
        self._rates = rates

    def fate(self, source: WorkerIdentity, reader: WorkerIdentity, blocks: int) -> ReadFate:
        """Always six draws, so that one fault does not shift the next read's numbers."""
        first, each, stall, stall_point, stall_s, fail = (self._draw() for _ in range(6))
        rates = self._rates
        at = int(stall_point * max(blocks, 1))
        return ReadFate(
            first_s=first * rates.max_first_s,
            each_s=each * rates.max_each_s,
            stall_at=at if stall < rates.stall else None,
            stall_s=stall_s * rates.max_stall_s,
            fail_at=at if fail < rates.fail else None,
        )
