"""Names of the Serve deployments, for those who must not import ray."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from cluster.spec import Spec
from cluster.spec_json import spec_json

APP = "baton"
GATEWAY, PREFILL, DECODE = "Gateway", "PrefillPool", "DecodePool"


def wanted_replicas(spec: Spec) -> dict[str, int]:
    """How many replicas each deployment should have; one of none is not deployed."""
    counts = {
        GATEWAY: spec.gateway.replicas,
        PREFILL: spec.pools.prefill.replicas,
        DECODE: spec.pools.decode.replicas,
    }
    return {name: count for name, count in counts.items() if count}


def version(spec: Spec, name: str) -> str:
    """Serve replaces the replicas of a deployment, one after another, when this text changes; when only
    their number changes, it starts or drains some and leaves the others alone.

    The gateway keeps its version: what may change while it serves does not concern it (spec_change.py).
    """
    if name == GATEWAY:
        return "1"
    pool = spec.pools.prefill if name == PREFILL else spec.pools.decode
    if not pool.cores:  # else each one's share of the cores depends on their number
        pool = replace(pool, replicas=0)
    text = spec_json((spec.kv_memory, spec.scheduling, pool))
    return hashlib.sha256(text).hexdigest()[:16]
