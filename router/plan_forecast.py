"""What a plan was expected to take, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanForecast:
    """Seconds."""

    pull_s: float
    """Until the prefix that lies elsewhere has come."""
    queue_s: float
    """Until the prompt's turn has come after that."""
    prefill_s: float
    first_token_s: float
    """All until the first token, from the plan on."""
    transfer_s: float
    """From the first token until the decode worker has all KV."""
    token_s: float
    """One decode step with this request in the batch."""
