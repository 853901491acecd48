"""What a step of prompts costs apart from its tokens, learnt from the steps themselves."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_S = 1e-6
"""Shorter steps are not believed."""
FORGET = 0.05
"""Share by which earlier steps count less after each."""
LEAST_SPREAD = 0.02
"""Steps that are all of one size tell nothing of what is fixed: variance of the size over its square."""


@dataclass(frozen=True, slots=True)
class PromptCost:
    """Seconds of the prompts of one step: `fixed_s` and `token_s` more for each token."""

    fixed_s: float
    token_s: float

    @property
    def fixed_tokens(self) -> float:
        """As many tokens take as long as the fixed part."""
        return self.fixed_s / self.token_s


class PromptCostFit:
    """Least squares of relative errors: seconds = fixed + tokens x per token."""

    def __init__(self) -> None:
        self._weight = self._tokens = self._squares = self._seconds = self._products = 0.0
        self.cost: PromptCost | None = None
        """None until steps of different sizes were seen."""

    def observe(self, tokens: int, seconds: float) -> None:
        """One step that computed so many tokens of prompts, which took `seconds`."""
        if seconds < LEAST_S:
            return
        keep, weight = 1.0 - FORGET, 1.0 / (seconds * seconds)
        self._weight = keep * self._weight + weight
        self._tokens = keep * self._tokens + weight * tokens
        self._squares = keep * self._squares + weight * tokens * tokens
        self._seconds = keep * self._seconds + weight * seconds
        self._products = keep * self._products + weight * tokens * seconds
        spread = self._weight * self._squares - self._tokens * self._tokens
        if spread < LEAST_SPREAD * self._weight * self._squares:
            return
        token_s = (self._weight * self._products - self._tokens * self._seconds) / spread
        fixed_s = (self._squares * self._seconds - self._tokens * self._products) / spread
        if token_s > 0.0:
            self.cost = PromptCost(max(0.0, fixed_s), token_s)
