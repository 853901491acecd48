"""What is replayed on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from replay.engine_times import EngineTimes
from replay.slo import Slo

DEFAULT_TIMES = EngineTimes()
DEFAULT_SLO = Slo()


class PolicyName(Enum):
    """Who decides."""

    OURS = "ours"
    ROUND_ROBIN = "round-robin"
    LEAST_LOADED = "least-loaded"
    DYNAMO = "dynamo"
    STATIC_THRESHOLD = "static-threshold"
    ALWAYS_LOCAL = "always-local"
    """Ours, with every prompt on its decode worker: one half of what a static choice could be."""
    ALWAYS_REMOTE = "always-remote"
    """Ours, with every prompt on a prefill worker: the other half."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """A modelled cluster and what decides in it."""

    prefills: int
    decodes: int
    kv_tokens: int
    """KV room of one worker."""
    policy: PolicyName = PolicyName.OURS
    times: EngineTimes = DEFAULT_TIMES
    slo: Slo = DEFAULT_SLO
