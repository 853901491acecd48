"""An engine that plans a step while another is in flight says the same, and loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from engine.owner import Owner, OwnerKind
from engine.schedule import SchedulePolicy
from engine.sequence import SequenceState
from engine.step import StepResult
from protocol.errors import EngineFailed
from protocol.messages import FinishReason
from protocol.request import Assignment
from protocol.sampling import Sampling
from tests.engine.drive import Drive
from tests.engine.load import LOADS_AHEAD, Load
from tests.engine.modelled import admitted, answer, assignment, modelled_engine
from tests.engine.pipeline import Pipeline, generated


def pipeline(blocks: int, block_size: int = 4, policy: SchedulePolicy | None = None) -> Pipeline:
    """An empty engine that looks one step ahead."""
    return Pipeline(modelled_engine(blocks, block_size, policy or SchedulePolicy(), lookahead=1))


@settings(max_examples=300)
@given(LOADS_AHEAD)
def test_every_request_of_a_load_ends_with_the_right_tokens(load: Load) -> None:
    """All that may happen to requests happens while a step is in flight: they are dropped, preempted,
    stopped by a token, joined and pinned. Each ends as with one step at a time, and no block is lost."""
    drive = Drive(load)
    drive.play(lambda engine: None)
    names = sorted(one.assignment.request.id for one in load.arrivals)
    assert sorted([*drive.ended, *drive.refused]) == names


def test_a_batch_that_decodes_never_lets_the_device_wait() -> None:
    """Up to the last tokens there is a next step before the one in flight is over, and nobody computes
    a row too many: the end at the limit is foreseen."""
    line = pipeline(blocks=40)
    sequences = [admitted(line.engine, assignment(f"r{n}", (n, 1, 2), 6)) for n in range(4)]
    rows = []
    for _ in range(6):
        step = line.launch()
        assert step is not None
        rows.append([piece.carry for piece in step.slices])
        if len(rows) > 1:
            line.land()
    assert rows == [[None] * 4] + [[0, 1, 2, 3]] * 5
    assert line.launch() is None
    assert {one.finish for one in line.land()} == {FinishReason.LENGTH}
    assert [generated(one) for one in sequences] == [answer(one.request) for one in sequences]


def test_a_role_that_stops_after_one_token_gets_no_row_too_many() -> None:
    """`until` is foreseen as well: prefill never computes behind the token that it hands over."""
    line = pipeline(blocks=9, policy=SchedulePolicy(max_batch_tokens=4))
    admitted(line.engine, assignment("r", tuple(range(10)), 9), until=1)
    chunks = []
    while (step := line.launch()) is not None:
        chunks += [len(piece.tokens) for piece in step.slices]
        if len(chunks) > 1:
            line.land()
    assert chunks == [4, 4, 2]


def test_kv_counts_when_its_step_is_over_and_no_sooner() -> None:
    """While a chunk is in flight nothing of it is computed, findable or publishable, although the next
    one is planned behind it."""
    line = pipeline(blocks=9, policy=SchedulePolicy(max_batch_tokens=8))
    sequence = admitted(line.engine, assignment("r", tuple(range(20)), 2))
    line.launch()
    line.launch()
    assert (sequence.computed, sequence.planned, len(line.engine.pool.match(sequence.hashes))) == (0, 16, 0)
    line.land()
    assert (sequence.computed, sequence.planned, len(line.engine.pool.match(sequence.hashes))) == (8, 16, 2)


def test_a_late_stop_token_wastes_one_row() -> None:
    """The row behind it is computed and forgotten: no progress, its block is not found although it is
    full now, and belongs to nobody else before that step is over."""
    whole = answer(assignment("r", (1, 2), 8).request)
    line = pipeline(blocks=4)
    sequence = admitted(line.engine, assignment("r", (1, 2), 8, stop_tokens=(whole[1],)))
    told = [line.turn() for _ in range(2)]
    assert [one.finish for row in told for one in row] == [None, FinishReason.STOP]
    assert generated(sequence) == whole[:2]
    assert line.engine.pool.held(OwnerKind.FENCED) == line.engine.pool.total - line.engine.pool.available == 1
    assert line.launch() is None
    assert line.land() == []
    assert (generated(sequence), line.engine.pool.available) == (whole[:2], 4)
    assert len(sequence.hashes) == 1
    assert line.engine.pool.match(sequence.hashes) == []


def test_what_is_dropped_in_flight_comes_free_when_the_step_is_over() -> None:
    """Blocks that nobody writes come back at once, the others with the step; its token is not told. The
    same attempt may come again meanwhile, and is not mistaken for the old one."""
    line = pipeline(blocks=8, policy=SchedulePolicy(max_batch_tokens=8))
    first = admitted(line.engine, assignment("r", tuple(range(14)), 5))
    line.launch()
    line.launch()
    line.land()
    assert line.engine.drop(first.key)
    line.engine.check()
    assert (line.engine.pool.available, line.engine.pool.held(OwnerKind.FENCED)) == (6, 2)
    again = admitted(line.engine, assignment("r", tuple(range(14)), 5))
    step = line.launch()
    assert step is not None
    assert not set(step.slices[0].blocks[2:]) & set(first.blocks[2:])
    assert line.land() == []
    assert line.engine.pool.held(OwnerKind.FENCED) == 0
    line.finish()
    assert generated(again) == answer(again.request)
    assert generated(first) == ()


def test_a_sequence_that_is_preempted_in_flight_says_the_same() -> None:
    """What it had in flight is lost and computed again; whoever took its place waits for the step that
    still writes into its blocks."""
    line = pipeline(blocks=8, block_size=2)
    orders = [assignment(f"r{number}", (number, 1, 2), 10) for number in range(2)]
    old, young = (admitted(line.engine, one) for one in orders)
    fenced = lost = 0
    while SequenceState.ENDED not in (old.state, young.state):
        flying = young.in_flight
        line.turn()
        fenced = max(fenced, line.engine.pool.held(OwnerKind.FENCED))
        lost += int(young.state is SequenceState.WAITING and flying > 0)
    line.finish()
    assert lost
    for order, sequence in zip(orders, (old, young), strict=True):
        assert generated(sequence) == answer(order.request)


def test_who_ends_with_the_step_in_flight_is_not_preempted() -> None:
    """A sequence that only waits for its last token gives room by itself: who needs room waits for it."""
    line = pipeline(blocks=4, block_size=2)
    old = admitted(line.engine, assignment("old", (1, 2, 3), 5))
    young = admitted(line.engine, assignment("young", (4, 5, 6), 2))
    line.turn()
    while young.state is not SequenceState.ENDED:
        assert young.state is SequenceState.RUNNING
        line.turn()
    line.finish()
    assert generated(young) == answer(young.request)
    assert generated(old) == answer(old.request)


@pytest.mark.parametrize("sampling", [Sampling(seed=1, presence_penalty=0.5), Sampling(seed=1)])
def test_penalties_know_every_token_before_the_next_is_drawn(sampling: Sampling) -> None:
    """Who needs the history is in no step before its last token is known, and takes part in every
    second one beside others."""
    line = pipeline(blocks=20)
    counting = admitted(line.engine, assignment("counting", (1, 2), 6, sampling=sampling))
    other = admitted(line.engine, assignment("other", (1, 2), 12))
    line.launch()
    carries = []
    while (step := line.launch()) is not None:
        carries += [piece.carry for piece in step.slices if piece.key == counting.key]
        line.land()
    line.finish()
    assert carries == ([None] if sampling.counts_history else [0]) * 5
    assert [generated(one) for one in (counting, other)] == [answer(one.request) for one in (counting, other)]


def test_a_row_that_cannot_be_drawn_takes_the_row_behind_it_along() -> None:
    """The sequence ends with its error; what was carried from the broken row is forgotten, the others
    go on, and nothing of its KV is found."""
    line = pipeline(blocks=20)
    broken, other = (
        admitted(line.engine, assignment(name, prompt, 5))
        for name, prompt in (("broken", tuple(range(9))), ("other", (7, 8, 9)))
    )
    line.launch()
    line.launch()
    errors = [one.error for one in line.land(lost=0)]
    assert isinstance(errors[0], EngineFailed)
    assert errors[1] is None
    assert [one.sequence for one in line.land()] == [other]
    assert line.engine.pool.match(broken.hashes) == []
    line.finish()
    assert generated(other) == answer(other.request)


def test_no_more_steps_are_in_flight_than_the_runner_allows() -> None:
    """Planning beyond that, or committing out of order, ends the engine: state would be guessed."""
    line = pipeline(blocks=20)
    admitted(line.engine, assignment("r", (1, 2), 9))
    first, second = line.launch(), line.launch()
    assert first is not None and second is not None
    with pytest.raises(EngineFailed):
        line.engine.plan()
    with pytest.raises(EngineFailed):
        line.engine.commit(second, StepResult((None,), 0.1))
    one_by_one = modelled_engine(blocks=20)
    admitted(one_by_one, assignment("r", (1, 2), 9))
    assert one_by_one.plan() is not None
    with pytest.raises(EngineFailed):
        one_by_one.plan()


def test_who_is_alone_has_no_step_beside_its_own_in_flight() -> None:
    """Until its first token is there, nothing is planned ahead; afterwards everything is as usual."""
    line = pipeline(blocks=40, policy=SchedulePolicy(max_batch_tokens=8))
    runs = admitted(line.engine, assignment("runs", (1, 2, 3), 20))
    line.launch()
    one = assignment("alone", tuple(range(20)), 4)
    alone = admitted(line.engine, Assignment(one.request, 0, (), 60.0, alone=True))
    while alone.alone:
        assert line.launch() is None
        line.land()
        line.launch()
    line.finish()
    assert [generated(one) for one in (runs, alone)] == [answer(one.request) for one in (runs, alone)]


def test_a_fence_of_a_step_that_is_over_is_found() -> None:
    """Blocks that a step holds which is not in flight are lost ones: the check says so."""
    line = pipeline(blocks=8)
    sequence = admitted(line.engine, assignment("r", (1, 2), 9))
    line.launch()
    line.engine.drop(sequence.key)
    line.engine.pool.rename(line.engine.pool.owners(OwnerKind.FENCED)[0], Owner.fenced(99))
    with pytest.raises(EngineFailed):
        line.engine.check()
