"""What was promised to each request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slo:
    """First token within `ttft_s` plus `ttft_per_prefill` times the prompt's cold prefill; mean time
    between tokens within `itl_s`."""

    ttft_s: float = 2.0
    ttft_per_prefill: float = 2.0
    itl_s: float = 0.05

    def first_token_within_s(self, cold_prefill_s: float) -> float:
        """Seconds from arrival."""
        return self.ttft_s + self.ttft_per_prefill * cold_prefill_s
