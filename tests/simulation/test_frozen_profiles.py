"""The profiles of the published figures do not change."""

from __future__ import annotations

from dataclasses import replace

from kv_transfer.read_fate import FaultRates
from protocol.limits import Limits
from tests.simulation.frozen_profiles import KILL_ONLY, MIXED_FROZEN, mixed
from tests.simulation.profile import Profile


def test_mixed_is_frozen() -> None:
    """Every size, rate and deadline of the mixed profile is pinned; the limits are the product's own."""
    assert MIXED_FROZEN == Profile(
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
        retire_every_s=0.0,
        cut_every_s=10.0,
        cut_s=6.0,
        freeze_every_s=10.0,
        freeze_s=6.0,
        slow_every_s=10.0,
        jump_every_s=20.0,
        gateway_crash_every_s=30.0,
        directory_away_every_s=10.0,
        disconnects=0.1,
        poison=0.0,
        reads=FaultRates(stall=0.005, fail=0.02, max_first_s=0.005, max_each_s=0.0005, max_stall_s=20.0),
        timeout_s=30.0,
        lookahead=0,
        limits=Limits(),
    )


def test_kill_only_is_frozen() -> None:
    """Four workers, one death every 5 s, and nothing else."""
    assert KILL_ONLY == Profile(
        prefills=2,
        decodes=2,
        gateways=1,
        requests=25,
        max_tokens=200,
        max_own_prompt=60,
        over_s=10.0,
        blocks=160,
        block_size=4,
        crash_every_s=5.0,
        downtime_s=2.0,
        timeout_s=60.0,
        lookahead=0,
        limits=Limits(),
    )


def test_a_seed_draws_nothing_but_the_weather() -> None:
    """Loss, doubling and jitter stay within their bounds; all else but the lookahead is the same for
    every seed."""
    for seed in range(50):
        drawn = mixed(seed)
        assert 0.0 <= drawn.loss <= 0.1
        assert 0.0 <= drawn.doubling <= 0.2
        assert 0.0 <= drawn.jitter_s <= 0.005
        assert drawn.lookahead in (0, 1)
        assert replace(drawn, loss=0.1, doubling=0.2, jitter_s=0.005, lookahead=0) == MIXED_FROZEN
