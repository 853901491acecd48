"""Temperature, top-k, top-p and min-p: which tokens may be drawn, and how likely."""

from __future__ import annotations

import torch

from protocol.sampling import Sampling

FIRST_LOOK = 1024
"""Likeliest tokens that are sorted first; they nearly always hold the top-p mass."""


def filtered_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """fp32 [vocabulary]; 0 for tokens that are filtered out. Not renormalised after top-p and min-p.

    top-k keeps the k likeliest; top-p, on what is left and renormalised, the fewest likeliest whose
    mass reaches p; min-p whatever is at least min_p times as likely as the likeliest."""
    scaled = (logits - logits.max()) / sampling.temperature
    if 0 < sampling.top_k < len(logits):
        edge = scaled.topk(sampling.top_k).values[-1]
        scaled = scaled.masked_fill(scaled < edge, float("-inf"))
    probabilities = scaled.softmax(-1)
    edge = probabilities.max() * sampling.min_p
    if sampling.top_p < 1.0:
        edge = torch.maximum(edge, _top_p_edge(probabilities, sampling.top_p))
    return probabilities.masked_fill_(probabilities < edge, 0.0)


def _top_p_edge(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest probability that is still needed to reach the mass `top_p`."""
    likeliest = probabilities.topk(min(FIRST_LOOK, len(probabilities))).values
    mass = likeliest.double().cumsum(0)
    if mass[-1] < top_p and len(likeliest) < len(probabilities):
        likeliest = probabilities.sort(descending=True).values
        mass = likeliest.double().cumsum(0)
    needed = int(torch.searchsorted(mass, top_p))
    return likeliest[min(needed, len(likeliest) - 1)]
