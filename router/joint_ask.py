"""What the joint planner needs to know of one request."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class JointAsk:
    """One request, as it waits for a place."""

    tokens: int
    """Prompt and tokens sent: what has to be in KV before the next token."""
    matched: npt.NDArray[np.int64]
    """Blocks of this prompt that each worker holds from its start, [workers]."""
    block_tokens: int
    seed: int
    """Breaks ties; another for each request and gateway, so that bursts spread."""
    slack_s: float = math.inf
    """Seconds until the first token is due."""
    itl_s: float = math.inf
    """Seconds between tokens that were promised to the requests already running."""
