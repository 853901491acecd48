"""Sampling: the filters mean what they say, and a row depends on nothing but itself."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.step import Draw
from engine.torch_runner.sampler import invert_cdf, sample
from engine.torch_runner.token_filter import filtered_probabilities
from protocol.sampling import Sampling

GREEDY = Sampling(seed=0, temperature=0.0)
LOGITS = st.lists(st.integers(-400, 400).map(lambda tenth: tenth / 10), min_size=2, max_size=40)
SAMPLINGS = st.builds(
    Sampling,
    seed=st.integers(0, (1 << 64) - 1),
    choice=st.integers(0, 7),
    temperature=st.floats(0.05, 2.0),
    top_k=st.integers(0, 12),
    top_p=st.floats(0.05, 1.0),
    min_p=st.floats(0.0, 0.9),
    presence_penalty=st.floats(-2.0, 2.0),
    frequency_penalty=st.floats(-2.0, 2.0),
    repetition_penalty=st.floats(0.5, 2.0),
    logprobs=st.none() | st.integers(0, 5),
)


def _draw(
    sampling: Sampling, index: int = 0, prompt: list[int] | None = None, said: list[int] | None = None
) -> Draw:
    return Draw(sampling, index, prompt or [], said or [])


def _token(row: list[float], draw: Draw) -> int:
    (sampled,) = sample(torch.tensor([row]), [draw])
    assert sampled is not None
    return sampled.token


def _softmax(scores: dict[int, float]) -> dict[int, float]:
    top = max(scores.values())
    weights = {token: math.exp(score - top) for token, score in scores.items()}
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def _reference(row: list[float], sampling: Sampling) -> tuple[set[int], set[int]]:
    """(tokens that must be kept, tokens that may be): they differ only at an edge within rounding."""
    left = {token: score / sampling.temperature for token, score in enumerate(row)}
    if sampling.top_k:
        edge = sorted(left.values(), reverse=True)[: sampling.top_k][-1]
        left = {token: score for token, score in left.items() if score >= edge - 1e-5 * abs(edge)}
    chances = _softmax(left)
    must, may, mass = set[int](), set[int](), 0.0
    for chance in sorted(set(chances.values()), reverse=True):
        ties = {token for token, other in chances.items() if other == chance}
        if mass < sampling.top_p - 1e-5 and chance > sampling.min_p * max(chances.values()) * (1 + 1e-5):
            must |= ties
        if mass < sampling.top_p + 1e-5 and chance >= sampling.min_p * max(chances.values()) * (1 - 1e-5):
            may |= ties
        mass += chance * len(ties)
    return must, may


@given(LOGITS, SAMPLINGS)
def test_filters_keep_what_the_definition_keeps(row: list[float], sampling: Sampling) -> None:
    """top-k, then top-p on what is left, then min-p, as a plain reading of their definitions."""
    kept = filtered_probabilities(torch.tensor(row), sampling)
    must, may = _reference(row, sampling)
    drawable = set(kept.nonzero().flatten().tolist())
    assert {token for token in must if row[token] > max(row) - 80 * sampling.temperature} <= drawable <= may
    assert max(range(len(row)), key=row.__getitem__) in drawable


@given(LOGITS, SAMPLINGS, st.integers(0, 50), st.lists(st.integers(0, 1), max_size=8))
def test_a_draw_does_not_depend_on_its_batch(
    row: list[float], sampling: Sampling, index: int, said: list[int]
) -> None:
    """The same logits, seed and index give the same token alone, in a batch, and beside a broken row."""
    draw = _draw(sampling, index, [0, 1], said)
    (alone,) = sample(torch.tensor([row]), [draw])
    others = [list(reversed(row)), [math.nan] * len(row), [math.inf] * len(row), row]
    broken = [_draw(GREEDY), draw, draw, draw]
    batch = sample(torch.tensor(others), broken)
    assert batch[3] == alone
    assert batch[0] is not None
    assert (batch[1], batch[2]) == (None, None)


@settings(max_examples=50)
@given(
    st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=30), st.floats(0.0, 1.0, exclude_max=True)
)
def test_inverting_the_cdf_never_leaves_the_support(shares: list[float], chance: float) -> None:
    """Whatever the uniform, a token of probability 0 is never drawn, and order is by token id."""
    shares[-1] = 1.0
    token = invert_cdf(torch.tensor(shares), chance)
    assert shares[token] > 0
    total = sum(shares)
    assert sum(shares[:token]) <= chance * total + 1e-9
    assert sum(shares[: token + 1]) >= chance * total - 1e-9


def test_frequencies_follow_the_probabilities() -> None:
    """Over 4,000 positions of one seed each token comes as often as its probability says."""
    chances = [0.1, 0.2, 0.3, 0.4]
    rows = torch.tensor([[math.log(chance) for chance in chances]]).expand(4000, -1)
    draws = [_draw(Sampling(seed=11), index) for index in range(4000)]
    counts = Counter(sampled.token for sampled in sample(rows, draws) if sampled is not None)
    for token, chance in enumerate(chances):
        assert abs(counts[token] / 4000 - chance) < 0.04


def test_greedy_takes_the_likeliest_and_ignores_the_seed() -> None:
    """Temperature 0, or one too small to divide by, is argmax whatever the filters say."""
    row = [0.0, 3.0, 2.0]
    for temperature in (0.0, 1e-9):
        for seed in range(5):
            assert _token(row, _draw(Sampling(seed, temperature=temperature, top_k=2, top_p=0.1))) == 1


def test_a_small_temperature_does_not_overflow() -> None:
    """The likeliest token wins at 1e-4, also with logits near the end of fp32."""
    assert _token([-3e38, 3e38, 1.0], _draw(Sampling(1, temperature=1e-4))) == 1


@pytest.mark.parametrize(
    ("sampling", "prompt", "said", "expected"),
    [
        (Sampling(0, temperature=0.0, logit_bias=((2, 5.0),)), [], [], 2),
        (Sampling(0, temperature=0.0, logit_bias=((9, 5.0), (-1, 5.0))), [], [], 0),
        (Sampling(0, temperature=0.0, repetition_penalty=2.0), [0], [], 1),
        (Sampling(0, temperature=0.0, repetition_penalty=2.0), [], [0], 1),
        (Sampling(0, temperature=0.0, presence_penalty=1.0), [], [0], 1),
        (Sampling(0, temperature=0.0, presence_penalty=1.0), [0], [], 0),
        (Sampling(0, temperature=0.0, frequency_penalty=0.4), [], [0], 0),
        (Sampling(0, temperature=0.0, frequency_penalty=0.4), [], [0, 0], 1),
        (Sampling(0, temperature=0.0, frequency_penalty=0.4), [0, 0], [], 0),
    ],
)
def test_penalties_count_what_they_should(
    sampling: Sampling, prompt: list[int], said: list[int], expected: int
) -> None:
    """Repetition counts prompt and answer, presence and frequency the answer only; a bias is added,
    and one for an unknown token does nothing."""
    assert _token([2.0, 1.5, -1.0], _draw(sampling, len(said), prompt, said)) == expected


def test_repetition_penalty_pushes_negative_logits_down() -> None:
    """A negative logit is multiplied, so that a repeated token never becomes likelier."""
    row = [-1.0, -1.5]
    assert _token(row, _draw(Sampling(0, temperature=0.0, repetition_penalty=2.0), 1, [0])) == 1


def test_logprobs_are_those_of_the_raw_logits() -> None:
    """Penalties, bias and temperature change the token, not the reported log-probabilities."""
    row = torch.tensor([[1.0, 3.0, 2.0, 0.0]])
    sampling = Sampling(0, temperature=0.0, logit_bias=((0, 50.0),), logprobs=2)
    (sampled,) = sample(row, [_draw(sampling)])
    assert sampled is not None and sampled.logprobs is not None
    logs = row[0].log_softmax(-1).tolist()
    assert sampled.token == 0
    assert sampled.logprobs.chosen == pytest.approx(logs[0])
    assert [token for token, _ in sampled.logprobs.top] == [1, 2]
    assert [value for _, value in sampled.logprobs.top] == pytest.approx([logs[1], logs[2]])


def test_no_logprobs_unless_asked_and_never_more_than_tokens() -> None:
    """None gives none, 0 gives the chosen one alone, and a vocabulary may be smaller than k."""
    rows = torch.tensor([[1.0, 3.0]] * 3)
    draws = [_draw(Sampling(0, temperature=0.0, logprobs=count)) for count in (None, 0, 5)]
    none, chosen, every = (sampled.logprobs for sampled in sample(rows, draws) if sampled is not None)
    assert none is None
    assert chosen is not None and chosen.top == ()
    assert every is not None and len(every.top) == 2


def test_an_impossible_token_has_a_finite_logprob() -> None:
    """A logit of minus infinity is reported as a number that JSON can carry."""
    draw = _draw(Sampling(0, temperature=0.0, logprobs=2))
    (sampled,) = sample(torch.tensor([[1.0, -math.inf]]), [draw])
    assert sampled is not None and sampled.logprobs is not None
    assert sampled.logprobs.top == ((0, 0.0), (1, -9999.0))


def test_a_wide_vocabulary_is_filtered_alike() -> None:
    """Where the likeliest 1,024 tokens do not hold the top-p mass, all are looked at."""
    probabilities = filtered_probabilities(torch.zeros(5000), Sampling(0, top_p=0.5))
    assert int((probabilities > 0).sum()) == 5000
    slope = -torch.arange(5000) / 10_000
    kept = filtered_probabilities(slope, Sampling(0, top_p=0.5)) > 0
    exact = slope.double().softmax(-1).cumsum(0)
    assert abs(int(kept.sum()) - int((exact < 0.5).sum()) - 1) <= 1
    assert kept[: int(kept.sum())].all()
