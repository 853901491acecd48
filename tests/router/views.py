"""Cluster views for planner tests."""

from __future__ import annotations

import numpy as np

from router.cluster_view import ClusterView
from router.pull_rates import PullRates
from router.step_model import StepModel

PREFILL_TOKEN_S = 1e-4
DECODE_BASE_S = 0.01


def taught_model(workers: int) -> StepModel:
    """Steps cost 10 ms for a batch, 1 ms a sequence, 5 ms and 0.1 ms a token for a prompt."""
    model = StepModel(workers)
    generator = np.random.default_rng(7)
    for number in range(2000):
        prompt = float(generator.integers(0, 2) * generator.integers(1, 4096))
        decodes = float(generator.integers(0, 20)) or float(prompt == 0)
        seconds = (DECODE_BASE_S if decodes else 0.0) + 1e-3 * decodes
        seconds += (0.005 if prompt else 0.0) + PREFILL_TOKEN_S * prompt
        model.observe(number % workers, prompt, 0.0, decodes, 0.0, seconds)
    return model


def idle_view(prefills: int, decodes: int, free_tokens: float = 1e6) -> ClusterView:
    """Nobody does anything; links are fast."""
    workers = prefills + decodes
    pulls = PullRates(workers)
    pulls.observe(0, workers - 1, 1_000_000, 1.0)
    decoding = np.arange(workers) >= prefills
    return ClusterView(
        prefills=~decoding,
        decodes=decoding,
        computes_local=decoding.copy(),
        queued_tokens=np.zeros(workers),
        step_tokens=np.full(workers, 2048.0),
        running=np.zeros(workers),
        kv_tokens=np.zeros(workers),
        free_tokens=np.full(workers, free_tokens),
        steps=taught_model(workers),
        pulls=pulls,
        expected_output=100.0,
    )
