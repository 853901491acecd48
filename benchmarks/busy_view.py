"""A cluster at work, as a planner sees it."""

from __future__ import annotations

import numpy as np

from router.cluster_view import ClusterView
from router.pull_rates import PullRates
from router.step_model import StepModel


def busy_view(workers: int) -> ClusterView:
    """Half of them prefill workers with queues, half decode workers with batches; always the same."""
    draw = np.random.default_rng(1)
    decodes = np.arange(workers) >= workers // 2
    running = np.where(decodes, draw.integers(0, 60, workers), 0).astype(np.float64)
    return ClusterView(
        prefills=~decodes,
        decodes=decodes,
        computes_local=decodes,
        queued_tokens=draw.integers(0, 20_000, workers).astype(np.float64),
        step_tokens=np.full(workers, 2048.0),
        running=running,
        kv_tokens=running * 8000.0,
        free_tokens=np.full(workers, 1e6),
        steps=StepModel(workers),
        pulls=PullRates(workers),
        expected_output=300.0,
        waiting=20,
    )
