"""What the router decides."""

from __future__ import annotations

import msgspec

from protocol.ids import WorkerIdentity


class RoutePlan(msgspec.Struct, frozen=True):
    """Where one request is to be computed, with what the router counted on. Of a cheap kind: each request has
    many, and uses one."""

    decode: WorkerIdentity
    prefill: WorkerIdentity | None
    """None: the decode worker computes the prompt itself."""
    source: WorkerIdentity | None
    """Whom the computing worker pulls the start of the prompt from; None: it uses its own."""
    source_blocks: int
    """Leading blocks that the source is believed to hold; 0 without one."""
    held_tokens: int
    """Leading tokens that the computing worker need not compute: cached there, or pulled."""
    pulled_tokens: int
    """How many of these it pulls."""
    lacking_tokens: int
    """KV that the decode worker gets from the prefill worker; 0 without one."""
    tokens: int
    """Prompt and tokens sent."""
    first_token_s: float
    """Predicted seconds to the first token."""
    cost_s: float
    """Predicted seconds of the whole answer, and of harm to requests already running."""

    @property
    def computes(self) -> WorkerIdentity:
        """Who computes the prompt."""
        return self.decode if self.prefill is None else self.prefill

    @property
    def missing_tokens(self) -> int:
        """Prompt tokens to compute; at least one."""
        return self.tokens - self.held_tokens
