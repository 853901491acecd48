"""What of a spec may change while its cluster serves."""

from __future__ import annotations

from dataclasses import fields, replace

from cluster.spec import GatewaySpec, Spec
from protocol.errors import InvalidSpec

CHANGEABLE = ("pools", "kv_memory", "scheduling")
"""Workers of the old and the new spec serve side by side for a while, so they have to say the same tokens
and find each other."""


def changed_spec(running: Spec, wanted: Spec) -> Spec:
    """The running spec with what `wanted` changes; its model is a folder, as in the running one. The
    gateway's section may be left out. Raises InvalidSpec for what needs a new start."""
    gateway = running.gateway if wanted.gateway == GatewaySpec() else wanted.gateway
    full = replace(wanted, served_name=wanted.name, gateway=gateway)
    for one in fields(Spec):
        if one.name not in CHANGEABLE and getattr(full, one.name) != getattr(running, one.name):
            raise InvalidSpec(
                f"{one.name} cannot change while the cluster serves; `baton down` and start it again",
                param=one.name,
            )
    return full
