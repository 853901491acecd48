"""What a simulated network does to what it carries: one decision per packet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class ChannelFaults(Protocol):
    """The seam of network trouble. Names are those of the two ends' Hello."""

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """Seconds after which each copy of this packet arrives.

        None: it is lost (always, between two ends: a partition). Two: it is doubled.
        A delay shorter than the last packet's: it overtakes.
        """
        ...


class Dice(Protocol):
    """A seeded source of numbers, such as random.Random(seed)."""

    def random(self) -> float:
        """The next number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class SteadyNetwork:
    """Every packet arrives once, in order, after the same time."""

    delay_s: float = 0.0005

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """One copy."""
        return (self.delay_s,)


@dataclass(frozen=True, slots=True)
class FaultyNetwork:
    """Loses, doubles and delays packets at given rates, by dice."""

    dice: Dice
    loss: float = 0.0
    """Probability that a packet is lost."""
    doubling: float = 0.0
    """Probability that a packet that is not lost comes twice."""
    delay_s: float = 0.0005
    jitter_s: float = 0.0
    """Added to the delay, uniform in [0, jitter_s): beyond the gap between packets it reorders."""

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """No copy, one or two, each with a delay of its own."""
        if self.dice.random() < self.loss:
            return ()
        copies = 2 if self.dice.random() < self.doubling else 1
        return tuple(self.delay_s + self.jitter_s * self.dice.random() for _ in range(copies))
