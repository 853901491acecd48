"""Sampling on the device, for draws that need nothing but their row of logits.

The same formulas as in sampler.py and token_filter.py, over many rows at once; nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.philox import uniform
from engine.step import Draw
from engine.torch_runner.cuda.device_draw import UNUSABLE
from engine.torch_runner.cuda.streams import Streams

COLUMNS = 6
"""Row, temperature, top-k, top-p, min-p, and the uniform number of a draw."""


def draw_into(
    tokens: torch.Tensor, logits: torch.Tensor, draws: Sequence[tuple[int, Draw]], streams: Streams
) -> None:
    """tokens [S] of the rows of fp32 logits [S, vocabulary] that `draws` name become what they draw."""
    staging = streams.staging(COLUMNS * len(draws))
    values = torch.tensor([_column(at, draw) for at, draw in draws], dtype=torch.float64)
    staging.view(torch.float64).copy_(values.T.reshape(-1))
    columns = staging.to(logits.device, non_blocking=True).view(torch.float64).view(COLUMNS, -1)
    cuts = any(draw.sampling.top_k > 0 or draw.sampling.top_p < 1.0 for _, draw in draws)
    rows = columns[0].long()
    tokens.index_copy_(0, rows, sample_rows(logits[rows], columns[1:], cuts))


def sample_rows(logits: torch.Tensor, columns: torch.Tensor, cuts: bool) -> torch.Tensor:
    """[R] tokens of fp32 logits [R, vocabulary], UNUSABLE where a row has no finite maximum.

    `columns`: float64 [5, R], temperature, top-k, top-p, min-p and chance; `cuts`: whether any row has
    a top-k or a top-p, which costs a sort."""
    temperature, top_k, top_p, min_p, chance = columns[:, :, None]
    best = logits.amax(-1, keepdim=True)
    scaled = (logits - best) / temperature.float()
    if cuts:
        scaled = scaled.masked_fill(scaled < _least(scaled, top_k), float("-inf"))
    probabilities = scaled.softmax(-1)
    edge = probabilities.amax(-1, keepdim=True) * min_p.float()
    if cuts:
        edge = torch.maximum(edge, _top_p_edge(probabilities, top_p))
    kept = probabilities.masked_fill(probabilities < edge, 0.0)
    cumulative = kept.double().cumsum(-1)
    token = torch.searchsorted(cumulative, chance * cumulative[:, -1:], right=True)
    last = kept.shape[-1] - 1 - (kept.flip(-1) > 0).to(torch.uint8).argmax(-1, keepdim=True)
    return torch.where(best.isfinite(), torch.minimum(token, last), UNUSABLE)[:, 0]


def _column(at: int, draw: Draw) -> tuple[float, ...]:
    sampling = draw.sampling
    chance = uniform(sampling.seed, draw.index, sampling.choice)
    return float(at), sampling.temperature, float(sampling.top_k), sampling.top_p, sampling.min_p, chance


def _least(scaled: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """[R, 1] the top_k-th largest of each row; minus infinity where all may stay."""
    size = scaled.shape[-1]
    place = (top_k.long() - 1).clamp(0, size - 1)
    least = scaled.sort(-1, descending=True).values.gather(-1, place)
    return torch.where((top_k > 0) & (top_k < size), least, float("-inf"))


def _top_p_edge(probabilities: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """[R, 1] the smallest probability that is needed to reach the mass; 0 where all may stay."""
    likeliest = probabilities.sort(-1, descending=True).values
    needed = torch.searchsorted(likeliest.double().cumsum(-1), top_p.contiguous())
    edge = likeliest.gather(-1, needed.clamp_max(likeliest.shape[-1] - 1))
    return torch.where(top_p < 1.0, edge, 0.0)
