"""What the router needs to know of a request."""

from __future__ import annotations

import math
from dataclasses import dataclass

from router.block_keys import Keys


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as it waits for a place."""

    tokens: int
    """Prompt and tokens sent: what has to be in KV before the next token."""
    max_total: int
    """Prompt and generated tokens at most."""
    keys: Keys
    """Of its full blocks, from the start."""
    block_tokens: int
    seed: int
    """Breaks ties; another for each request and gateway."""
    waited_s: float = 0.0
    """Seconds since its arrival."""
    left_s: float = math.inf
    """Seconds until its deadline."""
    waiting: int = 0
    """Others that wait at the gateway for a place."""

    @property
    def left(self) -> int:
        """Tokens that it may still generate."""
        return max(1, self.max_total - self.tokens)
