"""Names of the Serve deployments, for those who must not import ray."""

from __future__ import annotations

from cluster.spec import Spec

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
