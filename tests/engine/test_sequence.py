"""One sequence: its tokens, its hashes, and how many blocks it will ever need."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sequence import MOVES, Sequence, SequenceState
from protocol.block_hash import chain_root, hash_chain
from protocol.errors import EngineFailed
from tests.engine.modelled import assignment

FINGERPRINT = b"f"
PROMPTS = st.lists(st.integers(0, 3), min_size=1, max_size=20).map(tuple)
SENT = st.lists(st.integers(0, 3), max_size=9).map(tuple)
SIZES = st.integers(1, 5)


def _sequence(
    prompt: tuple[int, ...] = (1,),
    max_tokens: int = 10,
    *,
    size: int = 4,
    sent: tuple[int, ...] = (),
    until: int = 1 << 30,
    salt: bytes = b"",
) -> Sequence:
    return Sequence(assignment("r", prompt, max_tokens, sent=sent, salt=salt), FINGERPRINT, size, until)


@given(PROMPTS, SENT, SENT, SIZES, st.sampled_from([b"", b"tenant"]))
def test_hashes_are_those_of_the_chain(
    prompt: tuple[int, ...], sent: tuple[int, ...], more: tuple[int, ...], size: int, salt: bytes
) -> None:
    """However the tokens came (prompt, sent before, appended), the chain is that of all of them."""
    sequence = _sequence(prompt, size=size, sent=sent, salt=salt)
    for token in more:
        sequence.append(token)
    whole = prompt + sent + more
    assert sequence.tokens == list(whole)
    assert sequence.generated == len(sent) + len(more)
    assert sequence.hashes == list(hash_chain(chain_root(FINGERPRINT, salt), whole, size))


@given(PROMPTS, SENT, SIZES)
def test_a_lookup_always_leaves_a_token_to_compute(
    prompt: tuple[int, ...], sent: tuple[int, ...], size: int
) -> None:
    """Even when every block is cached, the last token passes through the model: it draws the next one."""
    sequence = _sequence(prompt, size=size, sent=sent)
    found = len(sequence.findable) * size
    assert found < len(sequence.tokens) <= found + size
    assert sequence.findable == sequence.hashes[: len(sequence.findable)]


@given(PROMPTS, st.integers(1, 10), SENT, st.integers(1, 12), SIZES)
def test_full_need_is_what_the_sequence_holds_at_its_end(
    prompt: tuple[int, ...], max_tokens: int, sent: tuple[int, ...], until: int, size: int
) -> None:
    """KV of all tokens but the last drawn one, wherever the sequence began and wherever it stops."""
    sent = sent[: max_tokens - 1]
    sequence = _sequence(prompt, max_tokens, size=size, sent=sent, until=until)
    need = sequence.full_need
    most = 0
    while True:
        most = max(most, sequence.blocks_for(len(sequence.tokens)))
        assert sequence.full_need == need, "what admission relied on does not change later"
        sequence.append(0)
        if sequence.generated >= min(until, max_tokens):
            break
    assert need == most


def test_full_need_of_the_corners() -> None:
    """One token to draw needs the prompt alone; a resumed sequence needs the tokens sent as well."""
    assert _sequence((1,) * 8, 1).full_need == 2
    assert _sequence((1,) * 8, 2).full_need == 3
    assert _sequence((1,) * 9, 1).full_need == 3
    assert _sequence((1,) * 8, 100, until=1).full_need == 2
    assert _sequence((1,) * 8, 5, sent=(1,) * 4, until=5).full_need == 3
    assert _sequence((1,) * 8, 100, sent=(1,) * 5, until=6).full_need == 4


def test_it_never_goes_on_beyond_its_limit() -> None:
    """`until` may stop a sequence earlier than the request asks, never later."""
    assert (_sequence(max_tokens=3, until=9).until, _sequence(max_tokens=9, until=3).until) == (3, 3)


@given(st.integers(0, 50), SIZES)
def test_blocks_hold_the_tokens_and_no_block_is_spare(tokens: int, size: int) -> None:
    """The least number of blocks with room for that many tokens."""
    blocks = _sequence(size=size).blocks_for(tokens)
    assert (blocks - 1) * size < tokens <= blocks * size


@pytest.mark.parametrize(("old", "new"), list(itertools.product(SequenceState, repeat=2)))
def test_moves_are_those_of_the_table(old: SequenceState, new: SequenceState) -> None:
    """A move that the table does not name raises, and leaves the state as it was."""
    sequence = _sequence()
    sequence.state = old
    if new in MOVES[old]:
        sequence.move(new)
        assert sequence.state is new
        return
    with pytest.raises(EngineFailed):
        sequence.move(new)
    assert sequence.state is old


def test_ended_is_the_end() -> None:
    """Nothing leads out of ENDED."""
    assert not MOVES[SequenceState.ENDED]
