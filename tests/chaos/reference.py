"""What an undisturbed cluster said, how close each token was to being another one, and the verdict on
what was said under faults (design: equal tokens wherever the margin exceeds what rounding can do)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engine.philox import uniform
from gateway.text.model_text import load_model_text
from tests.chaos.talks import SAMPLED, TOP_K, Talk

MARGIN_FLOOR = 1e-3
"""Below this a token is a near-tie: another batch shape may flip it by rounding."""


class Verdict(Enum):
    """On one whole answer."""

    RIGHT = "right"
    NEAR_TIE = "near tie"
    """The first difference is at a near-tie, after which the answers may go different ways."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Reference:
    """One answer of the undisturbed run."""

    text: str
    tokens: tuple[str, ...]
    margins: tuple[float, ...]

    @property
    def doubtful(self) -> bool:
        """Whether it holds a token that its own probabilities do not explain."""
        return any(margin < -MARGIN_FLOOR for margin in self.margins)

    def verdict(self, tokens: Sequence[str]) -> Verdict:
        """On a whole answer."""
        if len(tokens) != len(self.tokens):
            return Verdict.WRONG
        return self.prefix_verdict(tokens)

    def prefix_verdict(self, tokens: Sequence[str]) -> Verdict:
        """On an answer that broke off."""
        if len(tokens) > len(self.tokens):
            return Verdict.WRONG
        for own, said, margin in zip(self.tokens, tokens, self.margins, strict=False):
            if own != said:
                return Verdict.NEAR_TIE if margin < MARGIN_FLOOR else Verdict.WRONG
        return Verdict.RIGHT


class Margins:
    """How far each token of an answer was from being another."""

    def __init__(self, model: Path) -> None:
        tokenizer = load_model_text(model, lambda: 0.0).tokenizer
        self._ids: dict[str, int] = {}
        for token in range(tokenizer.size):
            self._ids.setdefault(_text(tokenizer.token_bytes(token)), token)

    def of(self, talk: Talk, tokens: Sequence[str], tops: Sequence[dict[str, float]]) -> tuple[float, ...]:
        """One margin a token: of logits where greedy, else of logits or of probability."""
        if not talk.temperature:
            return tuple(_greedy(top) for top in tops)
        return tuple(
            self._sampled(talk.seed, place, said, top)
            for place, (said, top) in enumerate(zip(tokens, tops, strict=True))
        )

    def _sampled(self, seed: int, place: int, said: str, top: dict[str, float]) -> float:
        """To the edge of the top-k, and from the drawn number to the ends of the token's share; negative if
        it lies beyond them."""
        ranked = sorted(top.items(), key=lambda entry: -entry[1])
        edge = ranked[TOP_K - 1][1] - ranked[TOP_K][1]
        kept = sorted(ranked[:TOP_K], key=lambda entry: self._ids[entry[0]])
        weights = [math.exp((value - ranked[0][1]) / SAMPLED) for _, value in kept]
        total, low, chance = sum(weights), 0.0, uniform(seed, place, 0)
        for (text, _), weight in zip(kept, weights, strict=True):
            high = low + weight / total
            if text == said:
                below, above = chance - low, high - chance
                first, last = low == 0.0, high > 1.0 - 1e-9
                return min(
                    edge, 1.0 if first and below >= 0 else below, 1.0 if last and above >= 0 else above
                )
            low = high
        return -1.0


def _text(data: bytes) -> str:
    """As the gateway writes a token."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _greedy(top: dict[str, float]) -> float:
    first, second, *_ = sorted(top.values(), reverse=True)
    return first - second
