"""The board: one place per life of a worker, never added up again."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from protocol.load_report import PullSample, StepSample
from router.board import PLACES, Board
from tests.router.fleets import NOTHING, identity, load, record

MANY = 5 * PLACES
SLOWER = tuple(StepSample(100, 0.0, 0, 0, 0.7) for _ in range(16))
STEPS = tuple(StepSample(100, 0.0, 0, 0, 0.5) for _ in range(16))


def test_places_grow_and_are_used_again() -> None:
    """What is known of the others stays; who leaves takes everything along."""
    board = Board()
    desks = [board.join(record(f"d{number}")) for number in range(MANY)]
    for number, desk in enumerate(desks):
        desk.hear(load(queued=number), NOTHING)
    places = [board.place(identity(f"d{number}")) for number in range(MANY)]
    assert sorted(place for place in places if place is not None) == list(range(MANY))
    assert [board.columns.queued[place] for place in places] == list(range(MANY))
    for _ in range(40):
        board.learn(identity("d3"), replace(load(), step_samples=STEPS))
        board.learn(identity("d4"), replace(load(), step_samples=SLOWER))
    assert board.steps.speed[places[3] or 0] < board.steps.speed[places[4] or 0]
    board.leave(identity("d3"))
    board.leave(identity("d3"))
    assert len(board) == MANY - 1
    board.join(record("d3", life="2"))
    assert board.place(identity("d3", "2")) == places[3]
    place = places[3] or 0
    assert not board.columns.usable[place] and board.columns.queued[place] == 0.0
    assert board.steps.speed[place] == 1.0


def test_an_account_of_an_earlier_link_changes_nothing() -> None:
    """The next link to the same life has an account of its own, in the same place."""
    board = Board()
    former = board.join(record("d0"))
    former.hear(load(queued=5), NOTHING)
    former.heard = 7
    desk = board.join(record("d0"))
    place = board.place(identity("d0"))
    assert place is not None and not board.columns.usable[place]
    assert desk.heard == 7
    desk.hear(load(queued=9), NOTHING)
    former.hear(load(queued=1), NOTHING)
    assert board.columns.queued[place] == 9.0


def test_it_learns_steps_and_pulls_from_reports() -> None:
    """Predictions come from what workers measured; a pull from a worker that is gone teaches nothing."""
    board = Board()
    for name in ("p0", "d0"):
        board.join(record(name))
    pulls = (PullSample(identity("d0"), 4000, 0.1), PullSample(identity("d9"), 10, 0.1))
    for _ in range(40):
        board.learn(identity("p0"), replace(load(), step_samples=STEPS, pull_samples=pulls))
    p0, d0 = board.place(identity("p0")), board.place(identity("d0"))
    assert p0 is not None and d0 is not None
    assert board.steps.at(p0, 100.0, 0.0, 0.0, 0.0) == pytest.approx(0.5, rel=0.05)
    assert board.pulls.from_source(d0)[p0] == pytest.approx(40_000.0)
    board.learn(identity("d9"), replace(load(), step_samples=STEPS))
    everybody = np.full(len(board.columns), 100.0)
    assert board.steps.predict(everybody, 0.0, 0.0 * everybody, 0.0 * everybody)[p0] == pytest.approx(
        board.steps.at(p0, 100.0, 0.0, 0.0, 0.0)
    )


def test_the_first_answers_tell_how_long_answers_are() -> None:
    """The prior is gone with the first."""
    board = Board()
    board.learn_output(10)
    assert board.expected_output == 10
    board.learn_output(20)
    assert board.expected_output == 15
