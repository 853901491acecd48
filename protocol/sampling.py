"""How the next token is drawn. Validated at the door; after it nothing can be malformed."""

from __future__ import annotations

from protocol.wire_struct import Struct


class Sampling(Struct):
    """Sampling of one sequence.

    One uniform per token is drawn from Philox4x32 with key = `seed` and counter =
    (position, choice), position counting generated tokens, so any worker can go on from any token.
    """

    seed: int
    """64 bits, fixed at the door."""
    choice: int = 0
    """Which of the n answers of one call this is."""
    temperature: float = 1.0
    """0 is greedy."""
    top_k: int = 0
    """0 keeps all."""
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    """Presence and frequency penalties count generated tokens only."""
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    """Divides (or multiplies, if negative) the logits of prompt and generated tokens."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    """None: no log-probabilities. k: the chosen token's and those of the k likeliest."""

    @property
    def counts_history(self) -> bool:
        """Whether penalties make a token depend on the tokens before it, besides the logits."""
        penalties = self.presence_penalty or self.frequency_penalty
        return bool(penalties or self.repetition_penalty != 1.0)
