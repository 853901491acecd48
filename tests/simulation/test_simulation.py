"""The whole cluster in one thread: right tokens, no leak, no hang, and a simulation that can see bugs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.planted import free_on_cancel, no_verification, planted, resume_off_by_one, silent_lapse
from tests.simulation.profile import CALM, DYING_WORKERS, LAPSED_LEASES, LATE_LANDING, Profile, drawn
from tests.simulation.world import run_seed

ENOUGH = 8
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
def test_mixed_faults_end_well(seed: int) -> None:
    """Crashes, lost frames, late reads and disconnects: no wrong token, no leak, no hang."""
    assert run_seed(seed, drawn(seed)).complaints == ()


def test_a_lapse_that_nobody_hears_of_is_caught_by_the_generations() -> None:
    """Reads of reused blocks are never believed, even if no message says that the lease lapsed."""
    with planted(silent_lapse):
        assert run_seed(3, LAPSED_LEASES).complaints == ()


@pytest.mark.parametrize(
    ("bug", "profile"),
    [(no_verification, LAPSED_LEASES), (free_on_cancel, LATE_LANDING), (resume_off_by_one, DYING_WORKERS)],
)
def test_planted_bugs_are_seen(bug: Callable[[pytest.MonkeyPatch], None], profile: Profile) -> None:
    """A check that cannot fail is worth nothing: each bug shows within a few seeds."""
    with planted(bug):
        assert any(run_seed(seed, profile).complaints for seed in range(ENOUGH))


def test_equal_seeds_give_equal_traces_whatever_the_hash_seed() -> None:
    """A failing seed can be replayed on any machine."""
    code = (
        "import logging; logging.disable(logging.ERROR)\n"
        "from tests.simulation.profile import drawn\n"
        "from tests.simulation.world import run_seed\n"
        "print(run_seed(0, drawn(0)).trace)"
    )
    traces = {_run(code, hash_seed) for hash_seed in ("1", "2", "random")}
    assert len(traces) == 1


def _run(code: str, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout
