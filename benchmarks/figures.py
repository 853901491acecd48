"""From times of arrival to the figures that are reported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


class NeverTogether(Exception):
    """The answers were not all being written at any one time, so the batch was never full."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed answer, on one clock of seconds."""

    sent_s: float
    arrived_s: tuple[float, ...]
    """When each part of the answer came, in order; at least one."""
    tokens: int
    """Tokens in all parts together."""

    @property
    def ttft_s(self) -> float:
        """Time to first token."""
        return self.arrived_s[0] - self.sent_s


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def gaps_s(answers: Sequence[Answer]) -> list[float]:
    """Times between tokens (ITL) of all answers together."""
    return [
        after - before
        for answer in answers
        for before, after in zip(answer.arrived_s, answer.arrived_s[1:], strict=False)
    ]


def together_s(answers: Sequence[Answer]) -> tuple[float, float]:
    """The window in which every answer was being written: last first part to first last part.

    Raises NeverTogether."""
    start = max(answer.arrived_s[0] for answer in answers)
    end = min(answer.arrived_s[-1] for answer in answers)
    if end <= start:
        raise NeverTogether("the batch was never full: some answers ended before others began")
    return start, end


def batch_gaps_s(answers: Sequence[Answer]) -> list[float]:
    """ITL inside the window of `together_s`: what one decode step of the full batch takes."""
    start, end = together_s(answers)
    return [
        after - before
        for answer in answers
        for before, after in zip(answer.arrived_s, answer.arrived_s[1:], strict=False)
        if start <= before and after <= end
    ]


def batch_tokens_per_s(answers: Sequence[Answer]) -> float:
    """Tokens of all answers in the window of `together_s`, over its length."""
    start, end = together_s(answers)
    count = sum(
        sum(start < moment <= end for moment in answer.arrived_s) * answer.tokens / len(answer.arrived_s)
        for answer in answers
    )
    return count / (end - start)


def own_tokens_per_s(answers: Sequence[Answer]) -> float:
    """All tokens after each answer's first, from the earliest first part to the latest last one."""
    start = min(answer.arrived_s[0] for answer in answers)
    end = max(answer.arrived_s[-1] for answer in answers)
    return sum(answer.tokens - 1 for answer in answers) / (end - start)
