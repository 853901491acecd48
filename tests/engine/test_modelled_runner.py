"""The modelled runner: what it says depends on every byte of KV, so a wrong block always shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cell_chain import chain_cell
from engine.modelled_runner import ModelledRunner, StepCost, expected_tokens
from engine.step import Draw, Slice, Step
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling
from tests.engine.modelled import GREEDY, VOCABULARY, facts
from tests.engine.runner_conformance import CHECKS, Check

KEY = AttemptKey(RequestId("r"), 0)
CONFORMING = facts(block_size=8, max_context=512)
PROMPTS = st.lists(st.integers(0, 9), min_size=1, max_size=20).map(tuple)


def _runner(block_size: int = 4, blocks: int = 8, cost: StepCost | None = None) -> ModelledRunner:
    return ModelledRunner(facts(block_size), blocks, cost or StepCost())


def _slice(tokens: tuple[int, ...], start: int = 0, sampling: Sampling | None = GREEDY) -> Slice:
    draw = None if sampling is None else Draw(sampling, 0, tokens, ())
    return Slice(KEY, tokens, start, tuple(range(8)), draw)


def _said(runner: ModelledRunner, piece: Slice) -> int:
    (sampled,) = runner.launch(Step((piece,))).result().sampled
    assert sampled is not None
    return sampled.token


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_modelled_runner_conforms(check: Check) -> None:
    """It keeps every promise that the real runner keeps."""
    check(lambda: ModelledRunner(CONFORMING, 64, StepCost()))


@given(PROMPTS, st.data())
def test_every_cell_that_is_read_counts(prompt: tuple[int, ...], data: st.DataObject) -> None:
    """One changed bit anywhere in the KV before a token changes that token."""
    runner = _runner()
    runner.launch(Step((_slice(prompt, sampling=None),))).result()
    good = runner.arena.data.copy()
    healthy = _said(runner, _slice((7,), len(prompt)))
    runner.arena.data[:] = good
    byte, bit = data.draw(st.integers(0, len(prompt) * 8 - 1)), data.draw(st.integers(0, 7))
    runner.arena.data.reshape(-1)[byte] ^= 1 << bit
    assert _said(runner, _slice((7,), len(prompt))) != healthy


@given(PROMPTS, PROMPTS)
def test_kv_of_a_token_depends_on_all_before_it(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Blocks of different prefixes differ even where their own tokens are equal."""
    cells = [0, 0]
    for number, prefix in enumerate((one, other)):
        for token in (*prefix, 1, 2, 3):
            cells[number] = chain_cell(cells[number], token)
    assert (cells[0] == cells[1]) is (one == other)


def test_kv_lands_when_the_step_is_over() -> None:
    """Until the result is taken, memory is as before: who dies during a step has not written its KV."""
    runner = _runner()
    pending = runner.launch(Step((_slice((1, 2, 3)),)))
    assert not runner.arena.data.any()
    pending.result()
    assert runner.arena.data.any()


def test_a_cell_is_never_that_of_empty_memory() -> None:
    """Zero means "never written": no token leaves it behind."""
    assert all(chain_cell(previous, token) for previous in range(50) for token in range(50))


def test_time_comes_from_the_cost() -> None:
    """A step lasts base + tokens + sequences, known at launch and told in the result."""
    runner = _runner(cost=StepCost(base_s=1.0, per_token_s=0.1, per_sequence_s=0.01))
    pending = runner.launch(Step((_slice((1, 2, 3)), _slice((4,)))))
    assert pending.seconds == pytest.approx(1.42)
    assert pending.result().seconds == pending.seconds


def test_sampling_shows_only_above_temperature_zero() -> None:
    """Greedy depends on the KV alone; else seed, choice and index each give other tokens."""

    def told(sampling: Sampling) -> tuple[int, ...]:
        return tuple(expected_tokens((1, 2, 3), sampling, 4, VOCABULARY))

    greedy = {told(Sampling(seed=seed, temperature=0.0)) for seed in (1, 2)}
    drawn = {told(Sampling(seed=seed, choice=choice)) for seed in (1, 2, 2**63 + 1) for choice in (0, 1)}
    assert (len(greedy), len(drawn), len(greedy | drawn)) == (1, 6, 7)


@pytest.mark.parametrize("asked", [None, 0, 1])
def test_logprobs_come_when_asked_for(asked: int | None) -> None:
    """One record for the drawn token, or none."""
    (sampled,) = (
        _runner().launch(Step((_slice((1,), sampling=Sampling(seed=1, logprobs=asked)),))).result().sampled
    )
    assert sampled is not None
    assert (sampled.logprobs is None) is (asked is None)


@given(PROMPTS, st.integers(1, 6))
def test_expected_tokens_are_what_the_runner_says(prompt: tuple[int, ...], count: int) -> None:
    """The reference of every simulation is computed without blocks, and is the same."""
    runner = _runner(block_size=3, blocks=10)
    tokens = list(prompt)
    start = 0
    while len(tokens) < len(prompt) + count:
        draw = Draw(GREEDY, len(tokens) - len(prompt), prompt, ())
        piece = Slice(KEY, tokens[start:], start, tuple(range(9, -1, -1)), draw)
        start = len(tokens)
        tokens.append(_said(runner, piece))
    assert tokens[len(prompt) :] == expected_tokens(prompt, GREEDY, count, VOCABULARY)


def test_arena_is_the_memory_of_the_cells() -> None:
    """What a transfer copies are the cells themselves: block_size * 8 bytes a block, no copy between."""
    runner = _runner(block_size=4, blocks=8)
    assert runner.arena.data.shape == (8, 32)
    runner.launch(Step((_slice((5,), sampling=None),))).result()
    assert int(runner.arena.data[0, :8].view(np.uint64)[0]) == chain_cell(0, 5)
