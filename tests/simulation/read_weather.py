"""Fates of KV reads in one run: they can be made calm, and after that the run must heal."""

from __future__ import annotations

import random

from kv_transfer.read_fate import CalmFates, DrawnFates, ReadFate, ReadFates
from protocol.ids import WorkerIdentity
from tests.simulation.profile import Profile


class ReadWeather:
    """Stalls and failures at the profile's rates. A read that stalls already goes on stalling."""

    def __init__(self, dice: random.Random, profile: Profile) -> None:
        self._fates: ReadFates = DrawnFates(dice.random, profile.reads)

    def heal(self) -> None:
        """From now on every read works."""
        self._fates = CalmFates()

    def fate(self, source: WorkerIdentity, reader: WorkerIdentity, blocks: int) -> ReadFate:
        """Of the next read."""
        return self._fates.fate(source, reader, blocks)
