"""Which faults there are, and which a profile draws from."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """One thing that goes wrong."""

    PREFILL_ENGINE = "kill -9 prefill engine"
    DECODE_ENGINE = "kill -9 decode engine"
    PREFILL_REPLICA = "kill -9 prefill replica"
    DECODE_REPLICA = "kill -9 decode replica"
    FREEZE = "SIGSTOP engine"
    GATEWAY = "kill -9 gateway"
    REDIS = "kill -9 Redis"


WORKER_FAULTS = {
    Fault.PREFILL_ENGINE: "prefill",
    Fault.DECODE_ENGINE: "decode",
    Fault.PREFILL_REPLICA: "prefill",
    Fault.DECODE_REPLICA: "decode",
}
"""Kills that take one worker, by its role."""

PROFILES: dict[str, tuple[Fault, ...]] = {
    "kill": tuple(WORKER_FAULTS),
    "mixed": tuple(Fault),
}
"""`kill`: one worker at a time, the next when all are back."""
CHANGES = "changes"
"""The profile without faults: scaling and a rolling update (changes.py)."""
