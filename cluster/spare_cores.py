"""Keeps what is no engine off the cores on which answers are written."""

from __future__ import annotations

import os

from cluster.spec import Spec


def spare_cores(spec: Spec, available: frozenset[int]) -> frozenset[int]:
    """Of the cores of this machine, those for the gateway, the workers' I/O and Ray: all that no decode
    worker is pinned to, or all where nothing is left. Prompts that share theirs come a little later; a
    step of an answer that does is seen as a gap by whoever reads it."""
    return available - frozenset(spec.pools.decode.cores) or available


def leave_decode_cores(spec: Spec) -> None:
    """From now on this thread, and all that it starts, runs on the spare cores. An engine that is pinned
    goes to its own all the same."""
    os.sched_setaffinity(0, spare_cores(spec, frozenset(os.sched_getaffinity(0))))
