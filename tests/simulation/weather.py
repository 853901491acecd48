"""Network faults of one run: they can be switched off, and after that the run must heal."""

from __future__ import annotations

import random

from protocol.links.faults import FaultyNetwork, SteadyNetwork
from tests.simulation.profile import Profile

SLOW_S = 0.05
"""Added to each packet of a slow node."""


class Weather:
    """Loss, doubling and jitter at the profile's rates, partitions between two nodes, slow nodes."""

    def __init__(self, dice: random.Random, profile: Profile) -> None:
        self._bad = FaultyNetwork(dice, profile.loss, profile.doubling, 0.0005, profile.jitter_s)
        self._good = SteadyNetwork()
        self._cut: dict[tuple[str, str], float] = {}
        self._slow: dict[str, float] = {}
        self._healed = False

    def heal(self) -> None:
        """From now on every packet arrives."""
        self._healed = True

    def cut(self, one: str, other: str, until: float) -> None:
        """Nothing passes between these two nodes until then."""
        self._cut[one, other] = self._cut[other, one] = until

    def slow(self, node: str, until: float) -> None:
        """Packets from and to this node are late until then."""
        self._slow[node] = until

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """Of one packet."""
        if self._healed:
            return self._good.fate(sender, receiver, now)
        copies = self._bad.fate(sender, receiver, now)
        if now < self._cut.get((sender, receiver), 0.0):
            return ()
        if now < max(self._slow.get(sender, 0.0), self._slow.get(receiver, 0.0)):
            return tuple(delay + SLOW_S for delay in copies)
        return copies
