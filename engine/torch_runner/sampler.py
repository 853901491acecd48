"""Draws the next tokens. Each row depends on its own logits, Draw and nothing else.

Order (vLLM's): logit bias, repetition penalty (prompt and generated tokens), frequency and presence
penalty (generated tokens); then greedy, or temperature, top-k, top-p, min-p and one Philox uniform
that inverts the CDF in token-id order. Ties at a filter's edge are all kept, so that the kept set
does not depend on how a sort breaks them.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
import torch

from engine.philox import uniform
from engine.step import Draw, Sampled
from engine.torch_runner.token_filter import filtered_probabilities
from protocol.messages import TokenLogprobs
from protocol.sampling import Sampling

GREEDY_BELOW = 1e-5
"""A temperature below this is greedy: dividing by it would overflow."""
LOWEST_LOGPROB = -9999.0
"""What is said of an impossible token, since minus infinity is not a JSON number."""


def sample(logits: torch.Tensor, draws: Seq[Draw]) -> tuple[Sampled | None, ...]:
    """One token per row of fp32 logits [R, vocabulary].

    A row without a finite maximum (a model that overflowed) gives None; the other rows do not notice.
    """
    if not draws:
        return ()
    rows = logits.numpy()
    best = rows.argmax(-1)  # a NaN counts as the largest; ten times as fast as torch's
    usable = np.isfinite(rows[np.arange(len(rows)), best]).tolist()
    return tuple(
        _sample_row(row, draw, top) if fine else None
        for row, draw, top, fine in zip(logits, draws, best.tolist(), usable, strict=True)
    )


def _sample_row(row: torch.Tensor, draw: Draw, best: int) -> Sampled | None:
    sampling = draw.sampling
    adjusted = row
    if adjusts(sampling):
        adjusted = _adjusted(row, draw)
        if not adjusted.max().isfinite():
            return None
    if sampling.temperature < GREEDY_BELOW:
        token = best if adjusted is row else int(adjusted.argmax())
    else:
        chance = uniform(sampling.seed, draw.index, sampling.choice)
        token = invert_cdf(filtered_probabilities(adjusted, sampling), chance)
    return Sampled(token, _logprobs(row, token, sampling.logprobs))


def invert_cdf(probabilities: torch.Tensor, chance: float) -> int:
    """The first token, by id, whose cumulative share of [vocabulary] exceeds `chance` in [0, 1)."""
    cumulative = probabilities.double().cumsum(0)
    total = cumulative[-1].item()
    token = int(torch.searchsorted(cumulative, chance * total, right=True))
    if token < len(probabilities):
        return token
    return int(probabilities.nonzero()[-1])


def adjusts(sampling: Sampling) -> bool:
    """Whether anything changes the logits before a token is drawn."""
    return bool(
        sampling.logit_bias
        or sampling.repetition_penalty != 1.0
        or sampling.frequency_penalty
        or sampling.presence_penalty
    )


def _adjusted(row: torch.Tensor, draw: Draw) -> torch.Tensor:
    sampling = draw.sampling
    row = row.clone()
    for token, bias in sampling.logit_bias:
        if 0 <= token < len(row):
            row[token] += bias
    if sampling.repetition_penalty != 1.0:
        seen, _ = _counts((*draw.prompt, *draw.generated), len(row))
        values, penalty = row[seen], sampling.repetition_penalty
        row[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if sampling.frequency_penalty or sampling.presence_penalty:
        seen, times = _counts(draw.generated, len(row))
        row[seen] -= sampling.frequency_penalty * times + sampling.presence_penalty
    return row


def _counts(tokens: Seq[int], vocabulary: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distinct tokens, ascending, and how often each occurs."""
    seen, times = np.unique(np.asarray(tokens, np.int64), return_counts=True)
    known = (seen >= 0) & (seen < vocabulary)
    return torch.from_numpy(seen[known]), torch.from_numpy(times[known].astype(np.float32))


def _logprobs(row: torch.Tensor, token: int, count: int | None) -> TokenLogprobs | None:
    """Of the raw logits, before bias, penalties, temperature and filters."""
    if count is None:
        return None
    logs = row.log_softmax(-1).clamp_min_(LOWEST_LOGPROB)
    values, tokens = logs.topk(min(count, len(row)))
    return TokenLogprobs(logs[token].item(), tuple(zip(tokens.tolist(), values.tolist(), strict=True)))
