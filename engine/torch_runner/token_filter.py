"""Temperature, top-k, top-p and min-p: which tokens may be drawn, and how likely."""

from __future__ import annotations

import numpy as np
import torch

from protocol.sampling import Sampling


def filtered_probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """fp32 [vocabulary]; 0 for tokens that are filtered out. Not renormalised after top-p and min-p.

    top-k keeps the k likeliest; top-p, on what is left and renormalised, the fewest likeliest whose
    mass reaches p; min-p whatever is at least min_p times as likely as the likeliest."""
    scaled = (logits - logits.max()) / sampling.temperature
    if 0 < sampling.top_k < len(logits):
        least = float(np.partition(scaled.numpy(), -sampling.top_k)[-sampling.top_k])
        scaled = scaled.masked_fill(scaled < least, float("-inf"))
    probabilities = scaled.softmax(-1)
    edge = probabilities.max() * sampling.min_p
    if sampling.top_p < 1.0:
        edge = torch.maximum(edge, _top_p_edge(probabilities, sampling.top_p))
    return probabilities.masked_fill_(probabilities < edge, 0.0)


def _top_p_edge(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """The smallest probability that is still needed to reach the mass `top_p`.

    numpy's vector sort of a whole vocabulary takes less time than torch's topk of a part of it."""
    likeliest = np.sort(probabilities.numpy())[::-1]
    needed = int(np.searchsorted(likeliest.cumsum(dtype=np.float64), top_p))
    return torch.tensor(likeliest[min(needed, len(likeliest) - 1)])
