"""What is run by name: a profile, or a planted bug in its own profile, with or without the bug."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.bug_list import PlantedBug, bug_named
from tests.simulation.frozen_profiles import kill_only, mixed
from tests.simulation.planted import Plant, planted
from tests.simulation.profile import Profile, swarm
from tests.simulation.report import Report
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.schedule_text import lines
from tests.simulation.shrink import Shrinker
from tests.simulation.world import run_scenario

SHRINK_S = 30.0
PROFILES: dict[str, Callable[[int], Profile]] = {"swarm": swarm, "mixed": mixed, "kill_only": kill_only}
"""By seed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A way to run seeds that has a name, in the language of `make sim`."""

    name: str
    """As in PROFILE=name or BUG=name."""
    arguments: str
    profile: Callable[[int], Profile]
    plants: tuple[Plant, ...] = ()

    def run(self, seed: int) -> Report:
        """One seed."""
        with planted(*self.plants):
            return run_scenario(scenario(seed, self.profile(seed)))

    def replay(self, seed: int) -> str:
        """One command that shows the seed again."""
        return f"replay: make sim SEEDS=1 SEED_START={seed} {self.arguments}"

    def shrunk(self, seed: int, within_s: float = SHRINK_S) -> list[str]:
        """The smallest schedule that still fails, as far as it was found in time, to be printed."""
        scene = scenario(seed, self.profile(seed))
        with planted(*self.plants):
            result = Shrinker(_fails, within_s).shrink(scene)
            complaints = run_scenario(result.scene).complaints
        found = result.scene
        return [
            f"shrunk to {len(found.strikes)} faults and {len(found.visits)} clients, of {len(scene.strikes)} "
            f"and {len(scene.visits)}, in {result.runs} runs and {result.seconds:.1f} s:",
            *("  " + line for line in lines(found)),
            *("  " + complaint for complaint in complaints),
        ]


def of_profile(name: str) -> Trial:
    """The product as it is. Raises KeyError."""
    return Trial(name, f"PROFILE={name}", PROFILES[name])


def of_bug(name: str) -> Trial:
    """With a planted bug. Raises ValueError."""
    bug = bug_named(name)
    return Trial(name, f"BUG={name}", _fixed(bug), (bug.luck, bug.plant))


def of_control(name: str) -> Trial:
    """The profile and the luck of a planted bug, without the bug. Raises ValueError."""
    bug = bug_named(name)
    return Trial(name, f"BUG={name}", _fixed(bug), (bug.luck,))


def _fixed(bug: PlantedBug) -> Callable[[int], Profile]:
    return lambda seed: bug.profile


def _fails(scene: Scenario) -> bool:
    return bool(run_scenario(scene).complaints)
