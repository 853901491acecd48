"""How long steps take, learnt from the steps themselves; and how many prompt tokens fit beside a batch."""

from __future__ import annotations

import math

from engine.prompt_cost_fit import PromptCost, PromptCostFit

WEIGHT = 0.2
"""Of a new measurement in the running average."""
MIN_PROMPT_TOKENS = 16
"""Smaller chunks say nothing about the cost of a prompt token."""
CHEAP_SHARE = 2.0
"""Prompts are computed together at least until their tokens cost so many times the fixed part of a step."""
BACKLOG_SHARE = 1.5
"""Of what is best for a backlog that nothing follows: where there is one, more comes."""
LEAST_TOGETHER = 256
"""Tokens, whatever was measured."""


class StepTimes:
    """Predicts seconds = decode_s(batch) + fixed_s of any prompts + prompt tokens x token_s.

    Decode is measured by batch size, in classes that double (a step is bound by reading the weights,
    so it grows slowly); the cost of prompts is what a mixed step took beyond that. Until prompts of
    different sizes were seen, all of it counts as the tokens': short prompts then make tokens look dear.
    """

    def __init__(self) -> None:
        self._decode_s: dict[int, float] = {}
        self._token_s = 0.0
        self._prompts = PromptCostFit()

    @property
    def prompt_cost(self) -> PromptCost | None:
        """Of the prompts of a step; None while unknown."""
        if self._prompts.cost is None and self._token_s:
            return PromptCost(0.0, self._token_s)
        return self._prompts.cost

    def observe(self, decodes: int, prompt_tokens: int, seconds: float) -> None:
        """Learns from one finished step of `decodes` single tokens and `prompt_tokens` more."""
        if prompt_tokens == 0 and decodes:
            known = self._decode_s.get(decodes.bit_length(), seconds)
            self._decode_s[decodes.bit_length()] = known + WEIGHT * (seconds - known)
        elif prompt_tokens >= MIN_PROMPT_TOKENS:
            prompt_s = max(0.0, seconds - self.decode_s(decodes))
            measured = prompt_s / prompt_tokens
            known = self._token_s or measured
            self._token_s = known + WEIGHT * (measured - known)
            self._prompts.observe(prompt_tokens, prompt_s, seconds)

    def decode_s(self, decodes: int) -> float:
        """Predicted seconds of a step that only decodes: of the nearest batch size that was seen."""
        if decodes == 0 or not self._decode_s:
            return 0.0
        size = decodes.bit_length()
        if size in self._decode_s:
            return self._decode_s[size]
        return self._decode_s[min(self._decode_s, key=lambda seen: (abs(seen - size), seen))]

    def predict_s(self, decodes: int, prompt_tokens: int) -> float | None:
        """Predicted seconds of a step; None where nothing like it was measured."""
        cost = self.prompt_cost
        if decodes and not self._decode_s:
            return None
        if not prompt_tokens:
            return self.decode_s(decodes)
        return None if cost is None else self.decode_s(decodes) + cost.fixed_s + prompt_tokens * cost.token_s

    def prompt_budget(self, decodes: int, max_step_s: float, least: int, most: int) -> int:
        """Prompt tokens that fit into a step of at most `max_step_s` beside `decodes` sequences.

        Between `least`, so that prompts always advance, and `most`, which is also the answer while
        nothing has been measured.
        """
        cost = self.prompt_cost
        if cost is None:
            return most
        room = (max_step_s - self.decode_s(decodes) - cost.fixed_s) / cost.token_s
        return int(max(least, min(most, room)))

    def prompts_together(self, queued: int) -> int | None:
        """Tokens of whole prompts that one step takes while `queued` of them wait; None: as many as it can.

        The first token of each comes when its step ends, so a step of all makes the first wait for the last;
        a step of one pays the fixed part again and again. For prompts that wait now and nothing that follows,
        the mean wait is least at the root of queued x what the fixed part is worth in tokens.
        """
        cost = self._prompts.cost
        if cost is None:
            return None
        fixed = cost.fixed_tokens
        best = max(CHEAP_SHARE * fixed, BACKLOG_SHARE * math.sqrt(queued * fixed))
        return max(LEAST_TOGETHER, int(best))
