"""How bad one simulated run is: sizes, and a rate for each kind of fault."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from kv_transfer.read_fate import FaultRates
from protocol.limits import Limits


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes and fault rates of one run. A rate of 0 means never; the others are mean seconds between
    two faults of one kind, drawn exponentially."""

    prefills: int = 2
    decodes: int = 2
    gateways: int = 1
    requests: int = 24
    max_tokens: int = 40
    max_own_prompt: int = 60
    """Tokens of a prompt beyond those that it may share with others."""
    over_s: float = 6.0
    """Requests arrive within this time."""
    blocks: int = 96
    block_size: int = 4
    loss: float = 0.0
    doubling: float = 0.0
    jitter_s: float = 0.0
    """Beyond the gap between two packets this reorders them."""
    crash_every_s: float = 0.0
    """A node, or its engine process alone, dies and comes back within `downtime_s`."""
    downtime_s: float = 2.0
    retire_every_s: float = 0.0
    """A worker is drained, and another takes its place: that alone no request notices."""
    cut_every_s: float = 0.0
    """Two nodes cannot reach each other for a while; reads of KV go on."""
    cut_s: float = 6.0
    freeze_every_s: float = 0.0
    """An engine stops for a while and its I/O process goes on."""
    freeze_s: float = 6.0
    slow_every_s: float = 0.0
    """A worker computes slowly and its packets are late, for a while."""
    jump_every_s: float = 0.0
    """The clock of a worker or of a gateway goes forward at once."""
    gateway_crash_every_s: float = 0.0
    directory_away_every_s: float = 0.0
    disconnects: float = 0.0
    """Share of clients that leave early, before or after their first token."""
    poison: float = 0.0
    """Share of requests that kill the engine that computes them."""
    rumours: float = 0.0
    """Share of requests that name a worker as the source of their prefix, whatever that holds."""
    reads: FaultRates = field(default_factory=FaultRates)
    timeout_s: float = 60.0
    step_s: float = 0.004
    """Seconds of an engine step without its sequences; tokens of short ones leave several at once."""
    lookahead: int = 0
    """Steps that engines launch before the one in flight is over."""
    local: bool = False
    """Decode workers compute prompts where that is sooner; otherwise only where no prefill worker can."""
    limits: Limits = field(default_factory=Limits)

    @property
    def is_harmless(self) -> bool:
        """Whether nothing happens that any request may notice: packets are lost, doubled, late and
        reordered, the directory is away, clients leave; all that is absorbed without planning again."""
        rates = (
            self.crash_every_s,
            self.cut_every_s,
            self.freeze_every_s,
            self.slow_every_s,
            self.jump_every_s,
            self.gateway_crash_every_s,
            self.poison,
            self.reads.stall,
            self.reads.fail,
        )
        return not any(rates)


CALM = Profile()


def swarm(seed: int) -> Profile:
    """Every kind of fault, each at a rate drawn from the seed: some runs are calm, some brutal."""
    dice = random.Random(f"{seed}/profile")
    return Profile(
        prefills=dice.choice((1, 2)),
        decodes=dice.choice((1, 2)),
        gateways=dice.choice((1, 1, 2)),
        blocks=dice.choice((40, 64, 96, 160)),
        loss=dice.choice((0.0, 0.01, 0.05, 0.1)),
        doubling=dice.choice((0.0, 0.05, 0.2)),
        jitter_s=dice.choice((0.0, 0.0005, 0.005)),
        crash_every_s=dice.choice((0.0, 0.0, 10.0, 3.0)),
        retire_every_s=dice.choice((0.0, 0.0, 5.0)),
        cut_every_s=dice.choice((0.0, 0.0, 3.0)),
        freeze_every_s=dice.choice((0.0, 0.0, 5.0)),
        slow_every_s=dice.choice((0.0, 0.0, 5.0)),
        jump_every_s=dice.choice((0.0, 0.0, 5.0)),
        gateway_crash_every_s=dice.choice((0.0, 0.0, 0.0, 5.0)),
        directory_away_every_s=dice.choice((0.0, 0.0, 4.0)),
        disconnects=dice.choice((0.0, 0.1, 0.3)),
        poison=dice.choice((0.0, 0.0, 0.0, 0.04)),
        reads=FaultRates(
            stall=dice.choice((0.0, 0.0, 0.05)),
            fail=dice.choice((0.0, 0.0, 0.05)),
            max_stall_s=dice.choice((1.0, 20.0)),
        ),
        lookahead=dice.choice((0, 1)),
        rumours=dice.choice((0.0, 0.2, 0.7)),
        local=dice.choice((False, True)),
        step_s=dice.choice((0.004, 0.0005)),
    )
