"""The whole cluster in one thread: right tokens, no leak, no hang, and a simulation that can see bugs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.simulation.bug_list import BUGS, LAPSED_LEASES, LEAVERS, PlantedBug
from tests.simulation.frozen_profiles import kill_only, mixed
from tests.simulation.planted import planted, silent_lapse
from tests.simulation.profile import CALM, Profile, swarm
from tests.simulation.world import run_seed

WITHIN = 300
"""Seeds within which each planted bug must be caught."""


@pytest.mark.parametrize("lookahead", [0, 1])
def test_without_faults_every_answer_is_whole(lookahead: int) -> None:
    """Nobody is refused, re-planned or cut short when nothing goes wrong."""
    report = run_seed(1, replace(CALM, lookahead=lookahead))
    assert report.complaints == ()
    assert report.complete == len(report.outcomes)
    assert report.replans == 0


@pytest.mark.parametrize("prefills", [0, 1])
def test_decode_only_and_disaggregated_plans_say_the_same(prefills: int) -> None:
    """A cluster without prefill workers computes prompts on its decode workers: same tokens."""
    report = run_seed(2, Profile(prefills=prefills, decodes=1))
    assert report.complaints == ()
    assert report.complete == len(report.outcomes)


@pytest.mark.parametrize("seed", range(500, 506))
def test_a_swarm_of_faults_ends_well(seed: int) -> None:
    """Every kind of fault at rates drawn from the seed: no wrong token, no leak, no hang."""
    assert run_seed(seed, swarm(seed)).complaints == ()


@pytest.mark.parametrize("seed", range(500, 503))
def test_the_frozen_profiles_end_well(seed: int) -> None:
    """The profiles of the published figures, some seeds of each."""
    assert run_seed(seed, mixed(seed)).complaints == ()
    assert run_seed(seed, kill_only(seed)).complaints == ()


@pytest.mark.parametrize("seed", [4, 7, 14, 15, 71, 149])
def test_a_planned_end_is_free(seed: int) -> None:
    """Workers are drained again and again while packets are lost: no request is planned again."""
    assert run_seed(seed, LEAVERS).complaints == ()


def test_poison_harms_no_pool_and_no_token() -> None:
    """Requests that kill every engine they meet end with a typed error, and all is as new afterwards."""
    report = run_seed(4, Profile(poison=0.1, over_s=10.0))
    assert report.complaints == ()
    assert any(outcome.poisoned for outcome in report.outcomes)
    assert all(outcome.error for outcome in report.outcomes if outcome.poisoned and not outcome.left)


def test_a_lapse_that_nobody_hears_of_is_caught_by_the_generations() -> None:
    """Reads of reused blocks are never believed, even if no message says that the lease lapsed."""
    with planted(silent_lapse):
        assert run_seed(3, LAPSED_LEASES).complaints == ()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_bugs_are_seen(bug: PlantedBug) -> None:
    """A check that cannot fail is worth nothing: each bug shows, and what shows it is the bug."""
    seed = bug.first_catch(range(WITHIN))
    assert seed is not None
    assert bug.control(seed).complaints == ()


@pytest.mark.parametrize("profile", ["swarm", "mixed"])
def test_equal_seeds_give_equal_traces_whatever_the_hash_seed(profile: str) -> None:
    """A failing seed can be replayed on any machine."""
    code = (
        "from tests.simulation.trial import of_profile\n"
        f"reports = [of_profile({profile!r}).run(seed) for seed in range(4)]\n"
        "print([(report.trace, report.strikes, report.replans) for report in reports])"
    )
    traces = {_run(code, hash_seed) for hash_seed in ("1", "2")}
    assert len(traces) == 1


def _run(code: str, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout
