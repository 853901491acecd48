"""Where everything runs that is no engine."""

from __future__ import annotations

import os
import threading

import pytest

from cluster.spare_cores import leave_decode_cores, spare_cores
from cluster.spec import PoolSpec, PoolsSpec, Spec

ALL = frozenset(range(4))


def pinned(prefill: tuple[int, ...], decode: tuple[int, ...]) -> Spec:
    """One worker of each pool on these cores."""
    return Spec(pools=PoolsSpec(prefill=PoolSpec(cores=prefill), decode=PoolSpec(cores=decode)))


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        (pinned((), ()), ALL),
        (pinned((0,), (1,)), {0, 2, 3}),
        (pinned((), (1, 2)), {0, 3}),
        (pinned((), (0, 1, 2, 3)), ALL),
        (pinned((0, 1), ()), ALL),
    ],
    ids=["nobody is pinned", "a core each", "decode alone", "decode everywhere", "prefill alone"],
)
def test_decode_cores_are_left_alone_where_others_are_left(spec: Spec, left: set[int]) -> None:
    """Cores of prefill workers are shared, those of decode workers only if there are no others."""
    assert spare_cores(spec, ALL) == left


def test_whoever_starts_ray_leaves_them() -> None:
    """What this thread starts later inherits where it runs."""
    before = frozenset(os.sched_getaffinity(0))
    seen: list[frozenset[int]] = []

    def leave() -> None:
        leave_decode_cores(pinned((), (min(before),)))
        seen.append(frozenset(os.sched_getaffinity(0)))

    thread = threading.Thread(target=leave)  # affinity belongs to a thread
    thread.start()
    thread.join(5.0)
    assert seen == [before - {min(before)} or before]
    assert frozenset(os.sched_getaffinity(0)) == before
