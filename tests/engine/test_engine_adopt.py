"""KV that was computed elsewhere: good blocks go on as if nothing had happened, bad ones show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.engine import Engine
from engine.owner import Owner
from engine.sequence import Sequence, SequenceState
from protocol.errors import EngineFailed
from protocol.ids import TransferId
from protocol.request import Assignment
from protocol.sampling import Sampling
from tests.engine.modelled import admitted, answer, assignment, modelled_engine, step, tokens_of

TRANSFER = TransferId("t")
DEST, PIN = Owner.dest(TRANSFER), Owner.pinned(TRANSFER)
PROMPTS = st.lists(st.integers(0, 9), min_size=1, max_size=30).map(tuple)
SIZES = st.integers(1, 5)
Memory = npt.NDArray[np.uint8]


def _prefill(source: Engine, order: Assignment) -> Memory:
    """Computes the prompt and the next token; the bytes of the prompt's blocks, in their order."""
    sequence = admitted(source, order, until=len(order.sent) + 1)
    while sequence.state is not SequenceState.ENDED:
        planned = source.plan()
        assert planned is not None
        source.commit(planned, source.runner.launch(planned).result())
    source.pool.rename(Owner.request(order.key), PIN)
    source.release_ended()
    source.check()
    return source.runner.arena.data[list(source.pool.held_by(PIN))].copy()


def _pull(reader: Engine, order: Assignment, memory: Memory) -> Sequence:
    """Writes what the reader lacks into blocks of its own, as a transfer does."""
    sequence = reader.sequence(order, 1 << 30)
    hits = reader.pool.match(sequence.findable)
    fresh = sequence.blocks_for(len(sequence.tokens)) - len(hits)
    dest = reader.pool.take(DEST, hits, fresh)
    reader.runner.arena.data[dest[len(hits) :]] = memory[len(hits) :]
    return sequence


def _decode(reader: Engine, sequence: Sequence, first: int) -> tuple[int, ...]:
    """Joins with the token that the other side drew; all generated tokens."""
    sequence.append(first)
    reader.adopt(sequence, DEST)
    reader.check()
    while sequence.state is not SequenceState.ENDED:
        assert step(reader)
    return tuple(sequence.tokens[len(sequence.request.prompt) :])


@given(PROMPTS, PROMPTS, SIZES, st.integers(0, 4), st.booleans())
def test_adopted_sequence_goes_on_with_the_same_tokens(
    prompt: tuple[int, ...], others: tuple[int, ...], size: int, sent: int, local_hits: bool
) -> None:
    """Prefill here, copy the blocks, decode there: the tokens are those of one machine, whatever the
    block numbers, and whether or not the reader had a part of the prefix."""
    request = assignment("r", prompt, sent + 6, sampling=Sampling(seed=8, temperature=1.0)).request
    whole = answer(request)
    order = Assignment(request, 0, whole[:sent], 60.0)
    source, reader = (modelled_engine(blocks=90, block_size=size) for _ in range(2))
    for engine in (source, reader)[: 1 + local_hits]:
        tokens_of(engine, assignment("other", others + prompt[:3], 2))
        tokens_of(engine, assignment("before", prompt[:7], 2))
    sequence = _pull(reader, order, _prefill(source, order))
    assert _decode(reader, sequence, whole[sent]) == whole


@given(PROMPTS, SIZES, st.data())
def test_one_wrong_byte_changes_the_tokens(prompt: tuple[int, ...], size: int, data: st.DataObject) -> None:
    """The detector detects: any damage to any byte of KV that is read shows in the answer."""
    order = assignment("r", prompt, 5)
    source, reader = (modelled_engine(blocks=40, block_size=size) for _ in range(2))
    memory = _prefill(source, order)
    byte = data.draw(st.integers(0, len(prompt) * 8 - 1))
    memory.reshape(-1)[byte] ^= data.draw(st.integers(1, 255))
    whole = answer(order.request)
    assert _decode(reader, _pull(reader, order, memory), whole[0]) != whole


def test_a_block_of_another_request_changes_the_tokens() -> None:
    """A stale read, where the source reused one block meanwhile, is seen in the tokens."""
    order, other = assignment("r", tuple(range(10)), 5), assignment("other", tuple(range(20, 30)), 5)
    memory, foreign = (_prefill(modelled_engine(blocks=9), one) for one in (order, other))
    memory[1] = foreign[1]
    reader = modelled_engine(blocks=9)
    whole = answer(order.request)
    assert _decode(reader, _pull(reader, order, memory), whole[0]) != whole


def test_pulled_blocks_are_private_until_adopted() -> None:
    """Nobody finds blocks that are not verified; adopted, they are as good as computed ones."""
    order = assignment("r", tuple(range(9)), 3)
    reader = modelled_engine(blocks=9)
    sequence = _pull(reader, order, _prefill(modelled_engine(blocks=9), order))
    assert reader.pool.match(sequence.hashes) == []
    sequence.append(answer(order.request)[0])
    reader.adopt(sequence, DEST)
    assert reader.pool.match(sequence.hashes) == sequence.blocks[:2].tolist()
    assert reader.pool.held_by(DEST) == ()


def test_adopting_too_few_blocks_is_refused() -> None:
    """A holder without the KV of every token but the last is a broken transfer; nothing moves."""
    engine = modelled_engine(blocks=9)
    sequence = engine.sequence(assignment("r", tuple(range(9)), 3, sent=(7,)), 3)
    blocks = engine.pool.take(DEST, (), 2)
    with pytest.raises(EngineFailed):
        engine.adopt(sequence, DEST)
    assert engine.pool.held_by(DEST) == tuple(blocks)
    assert (engine.running, sequence.state) == ((), SequenceState.WAITING)


def test_adopting_what_is_already_here_is_refused() -> None:
    """One attempt is one sequence: a second one under its key would mix up their blocks."""
    engine = modelled_engine(blocks=9)
    admitted(engine, assignment("r", (1, 2), 3))
    engine.pool.take(DEST, (), 1)
    with pytest.raises(EngineFailed):
        engine.adopt(engine.sequence(assignment("r", (1, 2), 3, sent=(7,)), 3), DEST)
    engine.check()
