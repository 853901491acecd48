"""What happens in one run, drawn from the seed before it begins: clients and faults as plain data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from protocol.ids import RequestId
from protocol.request import Request
from protocol.sampling import Sampling
from tests.simulation.poison import POISON, VOCABULARY, poisoned
from tests.simulation.profile import Profile


class Fault(Enum):
    """What can strike, beside what befalls single packets and reads."""

    CRASH = "crash"
    ENGINE_DEATH = "engine death"
    RETIRE = "drain"
    FREEZE = "frozen engine"
    SLOW = "slowness"
    JUMP = "clock jump"
    CUT = "partition"
    GATEWAY_CRASH = "gateway crash"
    GATEWAY_JUMP = "gateway clock jump"
    DIRECTORY_AWAY = "directory away"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault."""

    at: float
    """Seconds after the load begins."""
    fault: Fault
    who: int
    """Index of a worker, of a gateway, or of an end of a partition among workers and gateways."""
    other: int
    """The other end of a partition."""
    for_s: float
    """How long it lasts; for a jump, how far it goes."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One client."""

    at: float
    request: Request
    gateway: int
    leave_after_tokens: int | None
    leave_after_s: float | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run. Fates of packets and reads are drawn from the seed as they come."""

    seed: int
    profile: Profile
    visits: tuple[Visit, ...]
    strikes: tuple[Strike, ...]


def scenario(seed: int, profile: Profile) -> Scenario:
    """The run of this seed."""
    visits = tuple(_visit(seed, profile, number) for number in range(profile.requests))
    strikes = sorted(_strikes(seed, profile), key=lambda strike: strike.at)
    return Scenario(seed, profile, visits, tuple(strikes))


def request(dice: random.Random, profile: Profile, number: int) -> Request:
    """A request that nobody has asked yet."""
    shared = dice.choice((0, 8, 17))
    own = dice.randrange(1, profile.max_own_prompt)
    prompt = tuple(range(shared)) + tuple(dice.randrange(POISON) for _ in range(own))
    temperature = dice.choice((0.0, 0.8))
    sampling = Sampling(seed=dice.getrandbits(64), temperature=temperature)
    return Request(
        id=RequestId(f"r{number}"),
        model="modelled",
        prompt=poisoned(prompt) if dice.random() < profile.poison else prompt,
        sampling=sampling,
        max_tokens=dice.randrange(1, profile.max_tokens),
        stop_tokens=dice.choice(((), tuple(range(VOCABULARY // 20)))),
        timeout_s=profile.timeout_s,
    )


def _visit(seed: int, profile: Profile, number: int) -> Visit:
    dice = random.Random(f"{seed}/client {number}")
    leaves = dice.random() < profile.disconnects
    early = leaves and dice.random() < 0.5
    return Visit(
        at=dice.random() * profile.over_s,
        request=request(dice, profile, number),
        gateway=dice.randrange(profile.gateways),
        leave_after_tokens=dice.randrange(1, 8) if leaves and not early else None,
        leave_after_s=dice.random() * 0.1 if early else None,
    )


def _strikes(seed: int, profile: Profile) -> Iterator[Strike]:
    workers = profile.prefills + profile.decodes
    everyone = workers + profile.gateways
    rates = (
        (Fault.CRASH, profile.crash_every_s, profile.downtime_s, workers),
        (Fault.RETIRE, profile.retire_every_s, profile.downtime_s, workers),
        (Fault.FREEZE, profile.freeze_every_s, profile.freeze_s, workers),
        (Fault.SLOW, profile.slow_every_s, 6.0, workers),
        (Fault.JUMP, profile.jump_every_s, 15.0, everyone),
        (Fault.CUT, profile.cut_every_s, profile.cut_s, everyone),
        (Fault.GATEWAY_CRASH, profile.gateway_crash_every_s, 0.0, profile.gateways),
        (Fault.DIRECTORY_AWAY, profile.directory_away_every_s, 5.0, 1),
    )
    for fault, every_s, longest_s, victims in rates:
        dice = random.Random(f"{seed}/{fault.value}")
        at = dice.expovariate(1.0 / every_s) if every_s else profile.over_s + profile.timeout_s
        while at < profile.over_s + profile.timeout_s:
            who, other = dice.sample(range(victims), 2) if victims > 1 else (0, 0)
            strike = Strike(at, fault, who, other, dice.random() * longest_s)
            yield _refined(strike, workers, dice)
            at += dice.expovariate(1.0 / every_s)


def _refined(strike: Strike, workers: int, dice: random.Random) -> Strike:
    """Half of the crashes are of the engine process alone; clocks of gateways jump too."""
    if strike.fault is Fault.CRASH and dice.random() < 0.5:
        return Strike(strike.at, Fault.ENGINE_DEATH, strike.who, strike.other, strike.for_s)
    if strike.fault is Fault.JUMP and strike.who >= workers:
        return Strike(strike.at, Fault.GATEWAY_JUMP, strike.who - workers, 0, strike.for_s)
    return strike
