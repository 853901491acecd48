"""How long requests wait for a place and then take, learnt from those that went before."""

from __future__ import annotations

from protocol.request import Request

WEIGHT = 0.1
"""Of a new measurement in the running averages."""
MARGIN = 1.5
"""Requests differ: this many times the average may go by from a place to the end of the answer."""


class Forecast:
    """Averages of one gateway; zero, and therefore hopeful, until something was measured."""

    def __init__(self) -> None:
        self._gap_s = 0.0
        self._placed_at: float | None = None
        self._first_s = 0.0
        self._token_s = 0.0
        self._tokens = 0.0

    def placed(self, now: float, *, waited: bool) -> None:
        """A request got its place; `waited`: it had to, so places went one by one to those who wait."""
        if waited and self._placed_at is not None:
            self._gap_s = _average(self._gap_s, now - self._placed_at)
        self._placed_at = now

    def silent(self, seconds: float) -> None:
        """A request that ended without a token, `seconds` after its place."""
        self._first_s = _average(self._first_s, max(self._first_s, seconds))

    def spoke(self, first_s: float, tokens: int, rest_s: float) -> None:
        """An answer of `tokens`: the first `first_s` after its place, the others in `rest_s` more."""
        self._first_s = _average(self._first_s, first_s)
        self._tokens = _average(self._tokens, tokens)
        if tokens > 1:
            self._token_s = _average(self._token_s, rest_s / (tokens - 1))

    def wait_s(self, ahead: int) -> float:
        """Predicted seconds until a place is free for one with `ahead` others before it."""
        return (ahead + 1) * self._gap_s

    def service_s(self, request: Request) -> float:
        """Predicted seconds from its place to the end of its answer, with a margin. A limit says little
        about the length of an answer: none is taken to be much longer than others were."""
        tokens = min(float(request.max_tokens), self._tokens)
        return MARGIN * (self._first_s + tokens * self._token_s)


def _average(known: float, measured: float) -> float:
    return measured if known == 0.0 else known + WEIGHT * (measured - known)
