"""What a step of prompts costs apart from its tokens, learnt from the steps themselves."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_S = 1e-6
"""Shorter steps count like steps of this length."""
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
    """Least squares of errors relative to the steps: seconds = fixed + tokens x per token."""

    def __init__(self) -> None:
        self._weight = self._tokens = self._squares = self._seconds = self._products = 0.0
        self.cost: PromptCost | None = None
        """None until steps of different sizes were seen."""

    def observe(self, tokens: int, seconds: float, step_s: float) -> None:
        """Prompts of so many tokens took `seconds` of a step of `step_s`, which is what errors are relative
        to: beside a batch, the little that prompts take is known no better than the step."""
        keep, weight = 1.0 - FORGET, max(step_s, LEAST_S) ** -2
        self._weight = keep * self._weight + weight
        self._tokens = keep * self._tokens + weight * tokens
        self._squares = keep * self._squares + weight * tokens * tokens
        self._seconds = keep * self._seconds + weight * seconds
        self._products = keep * self._products + weight * tokens * seconds
        spread = self._weight * self._squares - self._tokens * self._tokens
        if spread >= LEAST_SPREAD * self._weight * self._squares:
            self._fit(spread)
        elif self.cost is not None:
            self._scale(self.cost)

    def _fit(self, spread: float) -> None:
        token_s = (self._weight * self._products - self._tokens * self._seconds) / spread
        fixed_s = (self._squares * self._seconds - self._tokens * self._products) / spread
        if token_s > 0.0:
            self.cost = PromptCost(max(0.0, fixed_s), token_s)

    def _scale(self, known: PromptCost) -> None:
        """Steps of one size still tell whether all is dearer or cheaper than was thought: or a few slow steps
        at the start could make all later ones so short that nothing is ever learnt again."""
        factor = self._seconds / (known.fixed_s * self._weight + known.token_s * self._tokens)
        if factor > 0.0:
            self.cost = PromptCost(known.fixed_s * factor, known.token_s * factor)
