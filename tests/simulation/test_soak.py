"""Many seeds over processes: sums that add up, and a last line that says how it went."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from tests.simulation.soak import Soak
from tests.simulation.tally import KEPT, Tally
from tests.simulation.trial import of_bug, of_profile


def test_processes_find_what_one_finds() -> None:
    """The same seeds have the same sums, however they are spread; progress is told."""
    alone = Tally()
    seeds = range(1, 4)  # each catches that bug
    for seed in seeds:
        alone.add(of_bug("resume_off_by_one").run(seed))
    with Soak(2) as soak:
        spread, seconds = soak.run("bug", "resume_off_by_one", seeds, print)
    assert spread == alone
    assert spread.failed == 3
    assert seconds > 0


def test_the_last_line_is_the_summary() -> None:
    """And the exit status says whether a promise was broken."""
    command = [sys.executable, "-m", "tests.simulation.soak", "--seeds", "1", "--planted", "0"]
    done = subprocess.run(
        [*command, "--processes", "1"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("soak: 3 seeds, no promise was broken")


def test_a_failing_seed_is_printed_with_its_replay_and_a_shrunk_schedule() -> None:
    """One command shows it again, and what is left of its schedule can be read."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "1", "--start", "1", "--shrink-s", "2"]
    done = subprocess.run(
        [*command, "--bug", "resume_off_by_one"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "replay: make sim SEEDS=1 SEED_START=1 BUG=resume_off_by_one" in lines
    assert any(line.startswith("shrunk to ") for line in lines)
    assert lines[-1].startswith("simulation, resume_off_by_one: 1 seeds, 1 failed")


def test_a_tally_is_bounded() -> None:
    """However many seeds fail, a few are kept by name and all are counted."""
    report = of_profile("swarm").run(0)
    broken = replace(report, complaints=("wrong",))
    tally = Tally()
    for _ in range(3 * KEPT):
        tally.add(broken)
    assert tally.failed == 3 * KEPT
    assert len(tally.failures) == KEPT
