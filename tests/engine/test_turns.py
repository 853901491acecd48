"""A sequence that shares no step: its first token comes from steps of its own, and nobody waits for it."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from engine.engine import Engine
from engine.schedule import SchedulePolicy
from engine.step_hook import Progress
from protocol.ids import RequestId
from protocol.request import Assignment
from tests.engine.modelled import admitted, answer, assignment, modelled_engine

PROMPTS = st.lists(st.integers(1, 30), min_size=1, max_size=6)


def apart(name: str, prompt: tuple[int, ...], max_tokens: int) -> Assignment:
    """An assignment that is to be computed alone."""
    one = assignment(name, prompt, max_tokens)
    return Assignment(one.request, one.attempt, one.sent, one.remaining_s, alone=True)


def batches(engine: Engine) -> list[tuple[list[RequestId], list[Progress]]]:
    """Every step until nothing is left: who was in it, and what came out."""
    done = []
    while (step := engine.plan()) is not None:
        engine.check()
        progress = engine.commit(step, engine.runner.launch(step).result())
        engine.release_ended()
        done.append(([piece.key.request for piece in step.slices], progress))
    return done


@given(PROMPTS, PROMPTS, st.integers(8, 60), st.integers(2, 8))
def test_who_is_alone_shares_no_step_until_its_first_token(
    lonely: list[int], others: list[int], blocks: int, batch: int
) -> None:
    """However many prompts compete for the pool, everybody is answered, and a lonely one's first token
    comes from steps in which it was the only one."""
    engine = modelled_engine(blocks, 4, SchedulePolicy(max_batch_tokens=batch, max_running=3))
    asked = [apart(f"alone-{i}", tuple(range(n)), 3) for i, n in enumerate(lonely)]
    asked += [assignment(f"other-{i}", tuple(range(100, 100 + n)), 3) for i, n in enumerate(others)]
    asked = [one for one in asked if -(-(len(one.request.prompt) + 2) // 4) <= blocks]
    sequences = [admitted(engine, one) for one in asked]
    drawn: set[str] = set()
    for members, progress in batches(engine):
        lonely_ones = [name for name in members if name.startswith("alone") and name not in drawn]
        assert not lonely_ones or len(members) == 1
        assert len(members) <= 3
        drawn |= {one.sequence.request.id for one in progress if one.sampled is not None}
    for one, sequence in zip(asked, sequences, strict=True):
        assert tuple(sequence.tokens[len(one.request.prompt) :]) == answer(one.request)


def test_the_others_go_on_meanwhile() -> None:
    """Every second step is theirs."""
    engine = modelled_engine(100, 4, SchedulePolicy(max_batch_tokens=4, max_running=8))
    admitted(engine, assignment("runs", (1, 2, 3), 40))
    admitted(engine, apart("alone", tuple(range(40)), 2))
    members = [names for names, _ in batches(engine)][:18]
    assert all(names in (["runs"], ["alone"]) for names in members)
    assert all(one != after for one, after in itertools.pairwise(members))


def test_a_preempted_one_is_alone_again_until_its_token() -> None:
    """What decides is the token, not how often it started."""
    sequence = modelled_engine(4).sequence(apart("a", (1, 2), 3), 3)
    assert sequence.alone
    sequence.append(7)
    assert not sequence.alone
    plain = replace_alone(apart("a", (1, 2), 3))
    assert not modelled_engine(4).sequence(plain, 3).alone


def replace_alone(one: Assignment) -> Assignment:
    """The same assignment in company."""
    return Assignment(one.request, one.attempt, one.sent, one.remaining_s)
