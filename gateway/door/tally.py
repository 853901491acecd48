"""Measures the sequences of one call while they are answered."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.door.voice import Voice
from gateway.metrics import GatewayMetrics


class Tally:
    """Turns what a voice hears into metrics."""

    def __init__(self, metrics: GatewayMetrics, arrival: float) -> None:
        """`arrival`: of the call, on the door's clock."""
        self._metrics = metrics
        self._arrival = arrival

    def tokens(self, count: int, previous_s: float | None, now: float) -> None:
        """`count` new tokens of one voice, whose token before them came at `previous_s`."""
        if count == 0:
            return
        self._metrics.generated_tokens.inc(count)
        if previous_s is None:
            self._metrics.ttft.observe(now - self._arrival)
            return
        self._metrics.itl.observe((now - previous_s) / count, count)  # several share the time of their step

    def ended(self, voice: Voice, reason: str, now: float) -> None:
        """One voice, well or not; `reason` is an ending or an error's code."""
        self._metrics.finished(reason)
        self._metrics.e2e.observe(now - self._arrival)
        self._metrics.prompt_tokens.inc(len(voice.request.prompt))
        self._metrics.cached_tokens.inc(voice.cached_tokens)

    def broken(self, voices: Sequence[Voice], reason: str, now: float) -> None:
        """Every voice that has not ended."""
        for voice in voices:
            if voice.ending is None:
                self.ended(voice, reason, now)
