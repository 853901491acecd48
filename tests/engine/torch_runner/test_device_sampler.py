"""Sampling of many rows on the device draws what the host's sampler draws of each."""

from __future__ import annotations

import time

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.step import Draw
from engine.torch_runner.cuda.device_draw import UNUSABLE, drawn_on_device, is_greedy
from engine.torch_runner.cuda.device_sampler import draw_into, sample_rows
from engine.torch_runner.cuda.host_streams import HostStreams
from engine.torch_runner.sampler import sample
from protocol.sampling import Sampling

SAMPLINGS = st.builds(
    Sampling,
    seed=st.integers(0, 1 << 63),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    top_k=st.sampled_from([0, 1, 3, 40, 1000]),
    top_p=st.sampled_from([0.05, 0.5, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
)


@settings(max_examples=150)
@given(st.lists(SAMPLINGS, min_size=1, max_size=5), st.integers(0, 1000), st.booleans())
def test_the_device_draws_what_the_host_draws(samplings: list[Sampling], seed: int, ties: bool) -> None:
    """Whatever filters each row has, in any mixture, also where many tokens are equally likely; the
    rows in between keep their tokens."""
    logits = 3 * torch.randn(2 * len(samplings), 97, generator=torch.Generator().manual_seed(seed))
    logits = logits.round() if ties else logits
    draws = [Draw(sampling, at, (), ()) for at, sampling in enumerate(samplings)]
    expected = sample(logits[1::2], draws)
    tokens = torch.full((len(logits),), -7)
    numbered = [(2 * at + 1, draw) for at, draw in enumerate(draws)]
    draw_into(tokens, logits, numbered, HostStreams(time.perf_counter))
    assert tokens[1::2].tolist() == [one.token for one in expected if one is not None]
    assert (tokens[::2] == -7).all()


def test_a_broken_row_draws_nothing_and_harms_no_other() -> None:
    """NaN, and a row without any possible token."""
    logits = torch.zeros(3, 10)
    logits[0, 4], logits[2] = float("nan"), float("-inf")
    columns = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.55]] * 3, dtype=torch.float64).T
    for cuts in (False, True):
        assert sample_rows(logits, columns, cuts).tolist() == [UNUSABLE, 5, UNUSABLE]


def test_only_draws_of_plain_logits_are_for_the_device() -> None:
    """Penalties, biases and log probabilities are the host's; so the device knows no histories."""
    plain, greedy = Sampling(seed=1, temperature=0.7), Sampling(seed=1, temperature=0.0)
    others = [
        Sampling(seed=1, temperature=0.7, presence_penalty=0.5),
        Sampling(seed=1, temperature=0.0, logprobs=0),
        Sampling(seed=1, temperature=0.0, logit_bias=((3, 1.0),)),
    ]
    assert all(drawn_on_device(Draw(one, 0, (), ())) for one in (plain, greedy))
    assert not any(drawn_on_device(Draw(one, 0, (), ())) for one in others)
    assert is_greedy(Draw(greedy, 0, (), ())) and not is_greedy(Draw(plain, 0, (), ()))
