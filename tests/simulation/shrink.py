"""Makes a failing scenario small: without each fault, client and rate that it fails without."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.simulation.profile import Profile
from tests.simulation.scenario import Scenario, Strike, Visit

Item = TypeVar("Item")

Fails = Callable[[Scenario], bool]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The smallest failing scenario that was found in time."""

    scene: Scenario
    runs: int
    seconds: float


class Shrinker:
    """Delta debugging (Zeller, Hildebrandt: "Simplifying and isolating failure-inducing input", 2002)
    over faults, clients and rates, in bounded real time. The seed stays; what it draws for packets
    and reads shifts with the traffic, so each candidate is run."""

    def __init__(self, fails: Fails, within_s: float) -> None:
        self._fails = fails
        self._until = time.perf_counter() + within_s
        self._began = time.perf_counter()
        self._runs = 0

    def shrink(self, scene: Scenario) -> Shrunk:
        """`scene` fails."""
        in_order = replace(scene, visits=tuple(sorted(scene.visits, key=lambda visit: visit.at)))
        scene = in_order if self._still_fails(in_order) else scene
        size = _size(scene)
        while True:
            scene = replace(scene, strikes=self._fewest(scene.strikes, _with_strikes(scene)))
            scene = replace(scene, visits=self._fewest(scene.visits, _with_visits(scene)))
            scene = self._without_rates(scene)
            if _size(scene) == size or self._is_late():
                return Shrunk(scene, self._runs, time.perf_counter() - self._began)
            size = _size(scene)

    def _without_rates(self, scene: Scenario) -> Scenario:
        for calm in CALMER:
            calmer = replace(scene, profile=calm(scene.profile))
            scene = calmer if calmer != scene and self._still_fails(calmer) else scene
        return scene

    def _fewest(
        self, items: tuple[Item, ...], scene_of: Callable[[tuple[Item, ...]], Scenario]
    ) -> tuple[Item, ...]:
        """Drops parts that are not needed: halves, then quarters, then single items. The last ones first:
        nothing before them changes without them, so whatever comes after the failure goes at once."""
        size = len(items)
        while size >= 1 and items:
            end = len(items)
            while end > 0:
                start = max(0, end - size)
                fewer = items[:start] + items[end:]
                items = fewer if self._still_fails(scene_of(fewer)) else items
                end = start
            size //= 2
        return items

    def _still_fails(self, scene: Scenario) -> bool:
        if self._is_late():
            return False
        self._runs += 1
        return self._fails(scene)

    def _is_late(self) -> bool:
        return time.perf_counter() >= self._until


def _size(scene: Scenario) -> tuple[int, int]:
    return len(scene.strikes), len(scene.visits)


def _with_strikes(scene: Scenario) -> Callable[[tuple[Strike, ...]], Scenario]:
    return lambda strikes: replace(scene, strikes=strikes)


def _with_visits(scene: Scenario) -> Callable[[tuple[Visit, ...]], Scenario]:
    return lambda visits: replace(scene, visits=visits)


CALMER: tuple[Callable[[Profile], Profile], ...] = (
    lambda profile: replace(profile, loss=0.0),
    lambda profile: replace(profile, doubling=0.0),
    lambda profile: replace(profile, rumours=0.0),
    lambda profile: replace(profile, jitter_s=0.0),
    lambda profile: replace(profile, reads=replace(profile.reads, stall=0.0)),
    lambda profile: replace(profile, reads=replace(profile.reads, fail=0.0)),
)
