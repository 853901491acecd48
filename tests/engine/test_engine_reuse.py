"""KV that is computed in pieces, found in the cache, lost and recomputed: the tokens stay the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.schedule import SchedulePolicy
from engine.sequence import SequenceState
from tests.engine.modelled import admitted, answer, assignment, modelled_engine, run, step, tokens_of

PROMPTS = st.lists(st.integers(0, 9), min_size=1, max_size=30).map(tuple)
SIZES = st.integers(1, 5)


@given(PROMPTS, st.integers(1, 6), SIZES, st.integers(1, 40))
def test_chunks_equal_the_whole(prompt: tuple[int, ...], limit: int, size: int, budget: int) -> None:
    """A prompt computed in pieces of any size, also cut inside a block, gives the same tokens."""
    one = assignment("r", prompt, limit)
    engine = modelled_engine(blocks=40, block_size=size, policy=SchedulePolicy(max_batch_tokens=budget))
    assert tokens_of(engine, one) == answer(one.request)


@given(PROMPTS, PROMPTS, PROMPTS, SIZES)
def test_cached_prefix_gives_the_same_tokens(
    shared: tuple[int, ...], one_tail: tuple[int, ...], other_tail: tuple[int, ...], size: int
) -> None:
    """The second request reuses every full block of the common prefix and says what it would say alone."""
    one, other = assignment("one", shared + one_tail, 3), assignment("other", shared + other_tail, 3)
    engine = modelled_engine(blocks=140, block_size=size)
    tokens_of(engine, one)
    found = run(engine, other)["other"]
    assert found.tokens[len(other.request.prompt) :] == answer(other.request)
    assert found.cached is not None
    assert found.cached >= len(shared) // size * size


@pytest.mark.parametrize(("length", "cached"), [(1, 0), (3, 0), (4, 0), (5, 4), (8, 4), (9, 8)])
def test_the_same_prompt_again_computes_its_last_block_alone(length: int, cached: int) -> None:
    """At least one token is computed, so a prompt of exactly k blocks finds k - 1 of them."""
    engine = modelled_engine(blocks=10)
    one, again = (assignment(name, tuple(range(length)), 2) for name in ("one", "again"))
    tokens_of(engine, one)
    found = run(engine, again)["again"]
    assert (found.cached, found.tokens[length:]) == (cached, answer(again.request))


def test_the_next_turn_finds_the_answer_of_the_last() -> None:
    """Generated KV is findable as well: prompt and answer come back as a prefix."""
    engine = modelled_engine(blocks=20)
    said = tokens_of(engine, assignment("first", (1, 2, 3), 14))
    second = assignment("second", (1, 2, 3, *said, 5, 6), 4)
    found = run(engine, second)["second"]
    assert (found.cached, found.tokens[19:]) == (16, answer(second.request))


def test_salts_keep_caches_apart() -> None:
    """Another tenant's equal prompt finds nothing, one's own finds all; neither changes a token."""
    engine = modelled_engine(blocks=20)
    prompt = tuple(range(9))
    found = {
        name: run(engine, assignment(name, prompt, 2, salt=salt))[name]
        for name, salt in (("first", b"a"), ("stranger", b"b"), ("again", b"a"))
    }
    assert {name: one.cached for name, one in found.items()} == {"first": 0, "stranger": 0, "again": 8}
    assert len({one.tokens for one in found.values()}) == 1


def test_preempted_sequence_goes_on_with_the_same_tokens() -> None:
    """Preemption loses KV, never tokens; and what was found at first is still what is reported."""
    engine = modelled_engine(blocks=8, block_size=2)
    orders = [assignment(f"r{number}", (number, 1, 2), 10) for number in range(2)]
    old, young = (admitted(engine, one) for one in orders)
    states = []
    while not (old.state is young.state is SequenceState.ENDED):
        assert step(engine)
        states.append(young.state)
    assert SequenceState.WAITING in states[states.index(SequenceState.RUNNING) :]
    for order, sequence in zip(orders, (old, young), strict=True):
        assert tuple(sequence.tokens[3:]) == answer(order.request)
        assert sequence.cached == 0


def test_a_running_prefix_is_shared_while_it_runs() -> None:
    """A block that one sequence holds serves another at the same time, and outlives its first holder."""
    engine = modelled_engine(blocks=20)
    first = admitted(engine, assignment("first", tuple(range(9)), 30))
    step(engine)
    second = admitted(engine, assignment("second", tuple(range(9)), 5))
    step(engine)
    assert second.blocks[:2] == first.blocks[:2]
    assert engine.drop(first.key)
    while second.state is not SequenceState.ENDED:
        assert step(engine)
    assert tuple(second.tokens[9:]) == answer(second.request)
