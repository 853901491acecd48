"""A failing schedule is made small, in bounded time, and still fails."""

from __future__ import annotations

import time
from dataclasses import replace

from tests.simulation.frozen_profiles import mixed
from tests.simulation.profile import swarm
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.schedule_text import lines
from tests.simulation.shrink import Shrinker
from tests.simulation.trial import of_bug, of_profile


def test_only_what_is_needed_stays() -> None:
    """Of everything that happens, the two causes of a failure remain, and no rate."""
    scene = scenario(0, mixed(0))
    fault, client = scene.strikes[2], scene.visits[7]

    def fails(candidate: Scenario) -> bool:
        return fault in candidate.strikes and client in candidate.visits

    found = Shrinker(fails, 30.0).shrink(scene).scene
    assert found.strikes == (fault,)
    assert found.visits == (client,)
    assert (found.profile.loss, found.profile.doubling, found.profile.jitter_s) == (0.0, 0.0, 0.0)


def test_shrinking_ends_in_time() -> None:
    """Without time the scenario stays as it is."""
    scene = scenario(0, mixed(0))
    began = time.perf_counter()
    assert Shrinker(lambda one: True, 0.0).shrink(scene).scene == scene
    assert time.perf_counter() - began < 1.0


def test_a_real_failure_shrinks_to_a_readable_schedule() -> None:
    """What is printed names the faults and clients that are left, and what they break."""
    text = of_bug("resume_off_by_one").shrunk(0, 10.0)
    assert text[0].startswith("shrunk to ")
    assert any("asks gateway-0" in line for line in text)
    assert any("a gap or a repeat" in line or "wrong tokens" in line for line in text)


def test_a_schedule_names_every_fault() -> None:
    """Each line of a schedule has its time; each fault has its victim."""
    scene = scenario(3, replace(swarm(3), crash_every_s=1.0, cut_every_s=1.0, jump_every_s=1.0, gateways=2))
    text = lines(scene)
    assert len(text) == 1 + len(scene.strikes) + len(scene.visits)
    assert any("partition" in line and " | " in line for line in text)


def test_a_failing_seed_names_one_command() -> None:
    """It can be copied."""
    assert of_profile("mixed").replay(17) == "replay: make sim SEEDS=1 SEED_START=17 PROFILE=mixed"
