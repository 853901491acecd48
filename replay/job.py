"""One request on its way through the modelled cluster."""

from __future__ import annotations

from dataclasses import dataclass

from replay.trace import BLOCK_TOKENS, TraceRequest


@dataclass(slots=True)
class Job:
    """Changed by the world and the engines as time goes on."""

    number: int
    request: TraceRequest
    due_s: float
    """When its first token is due, in virtual time."""
    sent: int = 0
    """Tokens that the client has."""
    first_s: float = -1.0
    last_s: float = -1.0
    reused_tokens: int = 0
    """Of the prompt, at its first computation: cached or pulled, not computed."""
    remote: bool = False
    """Whether a prefill worker computed it."""
    preemptions: int = 0

    @property
    def prompt(self) -> int:
        """Tokens that must be in KV before the next one: prompt and tokens sent."""
        return self.request.input_tokens + self.sent

    @property
    def held_tokens(self) -> int:
        """KV room that the prompt takes: whole blocks of the chain, then tokens sent."""
        return len(self.request.chain) * BLOCK_TOKENS + self.sent

    @property
    def left(self) -> int:
        """Tokens still to generate."""
        return self.request.output_tokens - self.sent

    def usable(self, blocks: int) -> int:
        """Tokens that `blocks` blocks of the prefix save; the last token is always computed."""
        return min(blocks * BLOCK_TOKENS, self.request.input_tokens, self.prompt - 1)
