"""Which faults there are, and which a profile draws from."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """One thing that goes wrong."""

    PREFILL_ENGINE = "kill -9 prefill engine"
    DECODE_ENGINE = "kill -9 decode engine"
    PREFILL_REPLICA = "kill -9 prefill replica"
    DECODE_REPLICA = "kill -9 decode replica"
    PREFILL_TERM = "SIGTERM prefill replica and engine"
    DECODE_TERM = "SIGTERM decode replica and engine"
    FREEZE = "SIGSTOP engine"
    GATEWAY = "kill -9 gateway"
    REDIS = "kill -9 Redis"


WORKER_FAULTS = {
    Fault.PREFILL_ENGINE: "prefill",
    Fault.DECODE_ENGINE: "decode",
    Fault.PREFILL_REPLICA: "prefill",
    Fault.DECODE_REPLICA: "decode",
    Fault.PREFILL_TERM: "prefill",
    Fault.DECODE_TERM: "decode",
}
"""What takes one worker, by its role."""
TERMS = (Fault.PREFILL_TERM, Fault.DECODE_TERM)
"""These let it finish what it has."""

PROFILES: dict[str, tuple[Fault, ...]] = {
    "kill": tuple(fault for fault in WORKER_FAULTS if fault not in TERMS),
    "term": TERMS,
    "mixed": tuple(Fault),
}
"""`kill` and `term`: one worker at a time, the next when all are back."""
CHANGES = "changes"
"""The profile without faults: scaling and a rolling update (changes.py)."""
