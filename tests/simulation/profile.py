"""How bad one simulated run is: drawn per seed, so some runs are calm and some brutal."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from kv_transfer.read_fate import FaultRates
from protocol.limits import Limits


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes and fault rates of one run."""

    prefills: int = 2
    decodes: int = 2
    gateways: int = 1
    requests: int = 24
    max_tokens: int = 40
    over_s: float = 6.0
    """Requests arrive within this time."""
    blocks: int = 96
    block_size: int = 4
    loss: float = 0.0
    doubling: float = 0.0
    jitter_s: float = 0.0
    crash_every_s: float = 0.0
    """0: no crashes."""
    cut_every_s: float = 0.0
    """0: no partitions. Else two nodes cannot reach each other for a while, this often."""
    freeze_every_s: float = 0.0
    """0: no frozen engines. Else an engine stops for a while and its I/O process goes on."""
    gateway_crash_every_s: float = 0.0
    directory_away_every_s: float = 0.0
    disconnects: float = 0.0
    """Share of clients that leave early."""
    reads: FaultRates = field(default_factory=FaultRates)
    timeout_s: float = 60.0
    lookahead: int = 0
    """Steps that engines launch before the one in flight is over."""
    limits: Limits = field(default_factory=Limits)


CALM = Profile()

DYING_WORKERS = Profile(requests=40, max_tokens=200, blocks=160, over_s=5.0, crash_every_s=0.3)
"""A worker dies three times a second, mostly in the middle of an answer."""

LATE_LANDING = Profile(
    requests=60, over_s=20.0, blocks=64, disconnects=0.3, reads=FaultRates(stall=0.3, max_stall_s=12.0)
)
"""Reads that land long after their reader gave them up, under steady load."""

LAPSED_LEASES = Profile(
    requests=60,
    over_s=15.0,
    blocks=64,
    reads=FaultRates(stall=0.3, max_stall_s=4.0),
    limits=Limits(lease_s=0.5, renew_every_s=30.0),
)
"""Sources that reuse blocks while somebody still reads them."""


def drawn(seed: int) -> Profile:
    """The mixed profile: every kind of fault, each at a rate drawn from the seed."""
    dice = random.Random(seed * 7919 + 1)
    return Profile(
        prefills=dice.choice((1, 2)),
        decodes=dice.choice((1, 2)),
        gateways=dice.choice((1, 1, 2)),
        blocks=dice.choice((64, 96, 160)),
        loss=dice.choice((0.0, 0.01, 0.05, 0.1)),
        doubling=dice.choice((0.0, 0.05, 0.2)),
        jitter_s=dice.choice((0.0, 0.0005, 0.005)),
        crash_every_s=dice.choice((0.0, 0.0, 10.0, 3.0)),
        cut_every_s=dice.choice((0.0, 0.0, 3.0)),
        freeze_every_s=dice.choice((0.0, 0.0, 5.0)),
        gateway_crash_every_s=dice.choice((0.0, 0.0, 0.0, 5.0)),
        directory_away_every_s=dice.choice((0.0, 0.0, 4.0)),
        disconnects=dice.choice((0.0, 0.1, 0.3)),
        reads=FaultRates(
            stall=dice.choice((0.0, 0.0, 0.05)),
            fail=dice.choice((0.0, 0.0, 0.05)),
            max_stall_s=dice.choice((1.0, 20.0)),
        ),
        lookahead=dice.choice((0, 1)),
    )
