"""Times of modelled steps: the formulas of Dynamo's mock engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

KV_BYTES_PER_TOKEN = 112 << 10
LINK_BYTES_PER_S = 64e9


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """ai-dynamo 1.6.1, `dynamo/mocker`: prefill ms = 4.209989e-7 n^2 + 1.518344e-2 n + 16.50142 for a batch
    of n new tokens; decode ms = max(1, -25.74 u^2 + 54.01 u + 5.74), u the used share of KV."""

    max_batch_tokens: int = 8192
    """Tokens that one step computes at most."""
    max_running: int = 256
    max_step_s: float = 0.05
    """Prompt chunks beside running sequences are cut so that the step stays within this."""
    least_chunk: int = 128
    """But not smaller than this, so that prompts always advance."""

    def prefill_s(self, tokens: int) -> float:
        """One batch of new prompt tokens; 0 for none."""
        if tokens <= 0:
            return 0.0
        return (4.209989e-7 * tokens * tokens + 1.518344e-2 * tokens + 16.50142) / 1000.0

    def decode_s(self, used_share: float) -> float:
        """One token of every running sequence."""
        return max(1.0, -25.74 * used_share * used_share + 54.01 * used_share + 5.74) / 1000.0

    def cold_prefill_s(self, tokens: int) -> float:
        """A prompt alone on an idle worker that has none of it cached."""
        whole, rest = divmod(tokens, self.max_batch_tokens)
        return whole * self.prefill_s(self.max_batch_tokens) + self.prefill_s(rest)

    def chunk_beside(self, running: int, used_share: float) -> int:
        """Prompt tokens that one step may compute beside `running` sequences."""
        if not running:
            return self.max_batch_tokens
        room_ms = (self.max_step_s - self.decode_s(used_share)) * 1000.0 - 16.50142
        if room_ms <= 0.0:
            return self.least_chunk
        root = math.sqrt(1.518344e-2**2 + 4 * 4.209989e-7 * room_ms)
        tokens = int((root - 1.518344e-2) / (2 * 4.209989e-7))
        return max(self.least_chunk, min(self.max_batch_tokens - running, tokens))
