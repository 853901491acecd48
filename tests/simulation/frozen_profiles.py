"""The profiles behind the published figures. Frozen: a test pins every value, and figures of other
values are not comparable."""

from __future__ import annotations

import random
from dataclasses import replace

from kv_transfer.read_fate import FaultRates
from tests.simulation.profile import Profile

MIXED_FROZEN = Profile(
    prefills=2,
    decodes=2,
    gateways=2,
    requests=24,
    max_tokens=40,
    max_own_prompt=60,
    over_s=5.0,
    blocks=96,
    block_size=4,
    loss=0.1,
    doubling=0.2,
    jitter_s=0.005,
    crash_every_s=10.0,
    downtime_s=2.0,
    cut_every_s=10.0,
    cut_s=6.0,
    freeze_every_s=10.0,
    freeze_s=6.0,
    slow_every_s=10.0,
    jump_every_s=20.0,
    gateway_crash_every_s=30.0,
    directory_away_every_s=10.0,
    disconnects=0.1,
    reads=FaultRates(stall=0.005, fail=0.02, max_stall_s=20.0),
    timeout_s=30.0,
)
"""Everything at once. Loss, doubling and jitter are upper bounds, and half of the seeds look ahead: see
`mixed`."""

KILL_ONLY = Profile(
    prefills=2,
    decodes=2,
    requests=25,
    max_tokens=200,
    max_own_prompt=60,
    over_s=10.0,
    blocks=160,
    block_size=4,
    crash_every_s=5.0,
    downtime_s=2.0,
    timeout_s=60.0,
)
"""Four workers, one death every 5 s, nothing else."""


def mixed(seed: int) -> Profile:
    """MIXED_FROZEN with loss, doubling and jitter drawn evenly from 0 up to its values, and engines that
    look ahead or do not."""
    dice = random.Random(f"{seed}/weather rates")
    return replace(
        MIXED_FROZEN,
        loss=dice.random() * MIXED_FROZEN.loss,
        doubling=dice.random() * MIXED_FROZEN.doubling,
        jitter_s=dice.random() * MIXED_FROZEN.jitter_s,
        lookahead=dice.choice((0, 1)),
    )


def kill_only(seed: int) -> Profile:
    """KILL_ONLY, whatever the seed."""
    return KILL_ONLY
