"""Every planted bug with the faults that are made to expose it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kv_transfer.read_fate import FaultRates
from protocol.limits import Limits
from tests.simulation import planted as bugs
from tests.simulation.planted import Plant, planted
from tests.simulation.profile import Profile
from tests.simulation.report import Report
from tests.simulation.world import run_seed

LATE_LANDING = Profile(
    requests=40,
    over_s=4.0,
    blocks=40,
    disconnects=0.2,
    reads=FaultRates(stall=0.15, max_stall_s=3.0),
    limits=Limits(read_deadline_s=0.5),
)
"""Reads that land long after their reader gave them up, under steady load."""

LAPSED_LEASES = Profile(
    requests=50,
    over_s=8.0,
    blocks=48,
    reads=FaultRates(stall=0.3, max_stall_s=4.0),
    limits=Limits(lease_s=0.5, renew_every_s=30.0),
)
"""Sources that reuse blocks while somebody still reads them."""

DYING_WORKERS = Profile(requests=16, max_tokens=150, blocks=160, over_s=3.0, crash_every_s=0.3)
"""A worker dies three times a second, mostly in the middle of an answer."""

SWIFT_RETURNS = Profile(
    prefills=1,
    decodes=1,
    requests=40,
    over_s=6.0,
    crash_every_s=0.7,
    downtime_s=0.3,
    reads=FaultRates(stall=0.5, max_stall_s=2.0),
)
"""Workers that are back before anybody misses them, while their KV is read."""

FULL_POOLS = Profile(prefills=1, decodes=1, requests=40, over_s=1.0, blocks=40)
"""More requests than places, and nothing else."""

BUSY = Profile(requests=24, over_s=1.0)
"""Many requests at once, and nothing else."""

DOUBLED = Profile(doubling=0.2, over_s=2.0)
"""One packet in five comes twice, and nothing else."""

STANDSTILLS = Profile(
    requests=24, max_tokens=150, blocks=160, over_s=3.0, freeze_every_s=0.5, freeze_s=8.0, timeout_s=2.0
)
"""Engines that stop for longer than any client waits."""

LOST_READERS = Profile(
    requests=24, over_s=4.0, crash_every_s=1.0, reads=FaultRates(stall=0.3, max_stall_s=3.0)
)
"""Decode workers that die while they read."""

FICKLE = Profile(requests=24, over_s=2.0, disconnects=0.9, timeout_s=120.0)
"""Clients that leave at once; their deadlines are far away."""


RUMOURS = Profile(requests=40, over_s=3.0, rumours=0.8)
"""Most requests pull the start of their prompt from somebody, and nothing else."""


LEAVERS = Profile(prefills=1, retire_every_s=1.0, loss=0.05, lookahead=1)
"""A worker is drained every second on a network that loses packets, and nothing else."""


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """One bug, where it shows, and the bad luck that it needs: without the bug that does no harm."""

    plant: Plant
    profile: Profile
    luck: Plant = bugs.no_luck

    @property
    def name(self) -> str:
        """As it is called."""
        return self.plant.__name__

    def run(self, seed: int) -> Report:
        """One seed with the bug."""
        with planted(self.luck, self.plant):
            return run_seed(seed, self.profile)

    def control(self, seed: int) -> Report:
        """The same seed and luck without the bug."""
        with planted(self.luck):
            return run_seed(seed, self.profile)

    def first_catch(self, seeds: Iterable[int]) -> int | None:
        """The first seed that shows the bug."""
        return next((seed for seed in seeds if self.run(seed).complaints), None)


BUGS = (
    PlantedBug(bugs.free_on_abort, LATE_LANDING),
    PlantedBug(bugs.release_while_draining, LATE_LANDING),
    PlantedBug(bugs.no_verification, LAPSED_LEASES, bugs.silent_lapse),
    PlantedBug(bugs.generation_not_bumped, LAPSED_LEASES, bugs.silent_lapse),
    PlantedBug(bugs.no_incarnation, SWIFT_RETURNS),
    PlantedBug(bugs.free_by_number, FULL_POOLS),
    PlantedBug(bugs.prefill_before_reserve, BUSY),
    PlantedBug(bugs.early_publish, BUSY),
    PlantedBug(bugs.early_prefix, RUMOURS),
    PlantedBug(bugs.deadline_dropped, STANDSTILLS),
    PlantedBug(bugs.cancel_not_sent, FICKLE),
    PlantedBug(bugs.lease_without_end, LOST_READERS),
    PlantedBug(bugs.duplicate_counted_twice, DOUBLED),
    PlantedBug(bugs.last_words_unheard, LEAVERS),
    PlantedBug(bugs.resume_off_by_one, DYING_WORKERS),
    PlantedBug(bugs.seed_not_carried, DYING_WORKERS),
)


def bug_named(name: str) -> PlantedBug:
    """The bug of that name. Raises ValueError."""
    for bug in BUGS:
        if bug.name == name:
            return bug
    raise ValueError(f"no planted bug is called {name!r}; there are {', '.join(bug.name for bug in BUGS)}")
