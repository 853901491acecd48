"""What the planner sees of the cluster: one array per quantity, one place per worker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from router.pull_rates import PullRates
from router.step_model import StepModel

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """All arrays are [workers]; tokens unless said. The planner changes none of them."""

    prefills: Flags
    """Computes prompts for others."""
    decodes: Flags
    """Runs the continuous batch."""
    computes_local: Flags
    """Decode workers that may compute prompts themselves."""
    queued_tokens: Floats
    """Prompt tokens that were sent there and are not computed."""
    step_tokens: Floats
    """Prompt tokens that one step computes at most beside the present batch; at least 1."""
    running: Floats
    """Sequences that decode there, or will when their KV has come."""
    kv_tokens: Floats
    """Tokens that these attend to."""
    free_tokens: Floats
    """KV room without a user, cached or not."""
    steps: StepModel
    pulls: PullRates
    expected_output: float
    """Tokens that requests generate, on average."""
    waiting: int = 0
    """Requests that wait at the gateway for a place."""
