"""The engine: every request ends, with the tokens of one healthy machine, and gives its blocks back."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.engine import Engine
from engine.owner import Owner
from engine.schedule import SchedulePolicy
from engine.sequence import SequenceState
from engine.step import StepResult
from engine.step_hook import Progress
from protocol.errors import ContextOverflow, EngineFailed
from protocol.ids import AttemptKey, RequestId, TransferId
from protocol.messages import FinishReason
from protocol.request import Assignment
from protocol.sampling import Sampling
from tests.engine.drive import Drive
from tests.engine.load import LOADS, Load
from tests.engine.modelled import admitted, answer, assignment, modelled_engine, step, tokens_of


@settings(max_examples=300)
@given(LOADS)
def test_every_request_of_a_load_ends_with_the_right_tokens(load: Load) -> None:
    """Requests that share prefixes in a pool too small for them, that are preempted, dropped, tried
    again, pulled from elsewhere and pinned afterwards: each ends, token by token as expected, no block
    is lost, and only what cannot fit at all is refused."""
    drive = Drive(load)
    drive.play(lambda engine: None)
    names = sorted(one.assignment.request.id for one in load.arrivals)
    assert sorted([*drive.ended, *drive.refused]) == names


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 4))
def test_a_request_that_just_fits_is_answered(size: int, blocks: int, spare: int) -> None:
    """Prompt and answer may fill the pool to the last token: the last one drawn needs no KV."""
    longest = size * blocks
    limit = min(spare, longest - 1) + 1
    one = assignment("r", tuple(range(longest - limit + 1)), limit)
    assert tokens_of(modelled_engine(blocks, size), one) == answer(one.request)


def test_a_prompt_that_fills_the_pool_has_room_for_one_token() -> None:
    """One token more would never find a block: refused at once, not left waiting for ever."""
    engine = modelled_engine(blocks=3)
    prompt = tuple(range(12))
    assert len(tokens_of(engine, assignment("fits", prompt, 1))) == 1
    with pytest.raises(ContextOverflow):
        engine.admit(engine.sequence(assignment("too long", prompt, 2), 1 << 30))
    assert engine.waiting == ()
    prefill_alone = admitted(engine, assignment("goes on elsewhere", prompt, 2), until=1)
    step(engine)
    assert prefill_alone.generated == 1


def test_a_refused_sequence_leaves_no_trace() -> None:
    """After a refusal the same attempt may come again, to be refused again."""
    engine = modelled_engine(blocks=1)
    for _ in range(2):
        with pytest.raises(ContextOverflow):
            engine.admit(engine.sequence(assignment("r", (1, 2, 3), 9), 9))
    assert not engine.drop(AttemptKey(RequestId("r"), 0))


def _last(engine: Engine) -> Progress:
    """Steps until the engine is empty; what the last step did."""
    last: list[Progress] = []
    while progress := step(engine):
        last = progress
    return last[0]


def test_a_request_of_one_token_ends_with_its_prompt() -> None:
    """max_tokens = 1: one step, one token, LENGTH."""
    engine = modelled_engine(blocks=4)
    sequence = admitted(engine, assignment("r", (1, 2, 3), 1))
    (progress,) = step(engine)
    assert (progress.finish, sequence.state) == (FinishReason.LENGTH, SequenceState.ENDED)
    assert engine.plan() is None


def test_a_stop_token_ends_the_answer_and_is_part_of_it() -> None:
    """STOP comes with the stop token itself, also where it is the last one allowed."""
    whole = answer(assignment("r", (1, 2), 8).request)
    for limit in (8, 4):
        engine = modelled_engine(blocks=4)
        sequence = admitted(engine, assignment("r", (1, 2), limit, stop_tokens=(whole[3],)))
        assert _last(engine).finish is FinishReason.STOP
        assert tuple(sequence.tokens[2:]) == whole[:4]


def test_a_stop_token_in_the_prompt_ends_nothing() -> None:
    """Only drawn tokens end an answer."""
    engine = modelled_engine(blocks=4)
    admitted(engine, assignment("r", (1, 2), 3, stop_tokens=(1, 2)))
    assert _last(engine).finish is FinishReason.LENGTH


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_a_role_may_stop_before_the_request_ends(sent: int) -> None:
    """`until` ends the sequence here without a finish, and another engine goes on from its tokens."""
    request = assignment("r", (1, 2, 3), 6).request
    whole = answer(request)
    engine = modelled_engine(blocks=4)
    sequence = admitted(engine, assignment("r", (1, 2, 3), 6, sent=whole[:sent]), until=sent + 1)
    assert _last(engine).finish is None
    assert tuple(sequence.tokens[3:]) == whole[: sent + 1]
    rest = assignment("r", (1, 2, 3), 6, sent=whole[: sent + 1], attempt=1)
    assert tokens_of(modelled_engine(blocks=4), rest) == whole


def test_urgent_requests_go_first_and_equals_in_order_of_arrival() -> None:
    """The waiting queue is by priority; within one priority nobody overtakes."""
    engine = modelled_engine(blocks=9, policy=SchedulePolicy(max_running=1))
    for name, priority in (("a", 0), ("b", 1), ("c", 0), ("d", 2), ("e", 1)):
        admitted(engine, assignment(name, (1,), 1, priority=priority))
    started = [one.sequence.request.id for _ in range(5) for one in step(engine)]
    assert started == ["d", "b", "e", "a", "c"]


def test_dropping_gives_everything_back_at_any_moment() -> None:
    """Waiting, half computed or drawing tokens: after a drop nothing is held and nothing comes any more."""
    for steps in range(4):
        engine = modelled_engine(blocks=5, policy=SchedulePolicy(max_batch_tokens=6))
        sequence = admitted(engine, assignment("r", tuple(range(10)), 5))
        for _ in range(steps):
            step(engine)
        assert engine.drop(sequence.key)
        assert (engine.pool.available, engine.running, engine.waiting) == (5, (), ())
        assert engine.plan() is None
        assert not engine.drop(sequence.key)
        engine.check()


def test_an_attempt_is_admitted_once() -> None:
    """A second sequence under the same key would share an owner with the first."""
    engine = modelled_engine(blocks=5)
    admitted(engine, assignment("r", (1, 2), 3))
    with pytest.raises(EngineFailed):
        engine.admit(engine.sequence(assignment("r", (1, 2), 3), 3))
    admitted(engine, assignment("r", (1, 2), 3, attempt=1))


def test_whoever_wants_the_blocks_of_an_ended_sequence_renames_them() -> None:
    """Between commit and release the blocks of an ended sequence are still held, then only if renamed."""
    for wanted in (True, False):
        engine = modelled_engine(blocks=5)
        sequence = admitted(engine, assignment("r", tuple(range(10)), 1))
        planned = engine.plan()
        assert planned is not None
        engine.commit(planned, engine.runner.launch(planned).result())
        assert engine.pool.held_by(Owner.request(sequence.key)) == tuple(sequence.blocks)
        if wanted:
            engine.pool.rename(Owner.request(sequence.key), Owner.pinned(TransferId("t")))
        engine.release_ended()
        engine.check()
        assert engine.pool.available == (2 if wanted else 5)


@pytest.mark.parametrize("leak", ["foreign", "missing"])
def test_check_finds_sequences_and_blocks_that_disagree(leak: str) -> None:
    """A table that is not what the pool says, or blocks of a request that is gone, end the engine."""
    engine = modelled_engine(blocks=5)
    sequence = admitted(engine, assignment("r", (1, 2), 3))
    step(engine)
    if leak == "foreign":
        engine.pool.take(Owner.request(AttemptKey(RequestId("gone"), 0)), (), 1)
    else:
        sequence.blocks = array("q")
    with pytest.raises(EngineFailed):
        engine.check()


def test_a_sequence_that_cannot_be_drawn_ends_alone() -> None:
    """One row without finite logits ends its own request with an error; the others go on, and its KV,
    also what was published before, is found by nobody."""
    engine = modelled_engine(blocks=20)
    broken, other = (
        admitted(engine, assignment(name, prompt, 5))
        for name, prompt in (("broken", tuple(range(9))), ("other", (7, 8, 9)))
    )
    step(engine)
    assert engine.pool.match(broken.hashes)
    planned = engine.plan()
    assert planned is not None
    result = engine.runner.launch(planned).result()
    first, second = engine.commit(planned, StepResult((None, result.sampled[1]), result.seconds))
    assert isinstance(first.error, EngineFailed)
    assert (first.sampled, first.finish, second.error) == (None, None, None)
    assert engine.pool.match(broken.hashes) == []
    engine.release_ended()
    engine.check()
    assert engine.running == (other,)
    _last(engine)
    assert tuple(other.tokens[3:]) == answer(other.request)


PENALTIES = (
    Sampling(seed=1, presence_penalty=0.5),
    Sampling(seed=1, frequency_penalty=-0.5),
    Sampling(seed=1, repetition_penalty=1.1),
)


@pytest.mark.parametrize("sampling", PENALTIES)
def test_history_comes_with_the_draw_where_penalties_need_it(sampling: Sampling) -> None:
    """Penalties count what was generated, the tokens sent before this attempt included; others carry none."""
    engine = modelled_engine(blocks=5)
    admitted(engine, assignment("r", (1, 2), 9, sent=(3, 4), sampling=sampling))
    admitted(engine, assignment("plain", (1, 2), 9, sent=(3, 4)))
    planned = engine.plan()
    assert planned is not None
    draws = [piece.draw for piece in planned.slices if piece.draw is not None]
    assert [(draw.index, tuple(draw.prompt), tuple(draw.generated)) for draw in draws] == [
        (2, (1, 2), (3, 4)),
        (2, (1, 2), ()),
    ]


def test_equal_loads_make_equal_steps() -> None:
    """Nothing depends on the process: two engines with the same requests plan the same steps."""
    orders = [assignment(f"r{number}", (number, 1, 2, 3), 6) for number in range(5)]
    told = [
        [(one.sequence.key, one.sampled) for _ in range(20) for one in step(engine)]
        for engine in _twice(orders)
    ]
    assert told[0] == told[1]


def _twice(orders: list[Assignment]) -> list[Engine]:
    engines = [modelled_engine(blocks=7, block_size=2) for _ in range(2)]
    for engine in engines:
        for one in orders:
            admitted(engine, one)
    return engines
