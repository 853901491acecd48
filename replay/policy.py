"""How a request gets its workers: the part that is compared."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from replay.job import Job
from router.cluster_view import ClusterView
from router.joint_planner import Placement


class Policy(Protocol):
    """Sees what the planner sees."""

    def may_place(self, view: ClusterView) -> bool:
        """Whether asking for a place makes sense now: a cheap look before those who wait are planned."""
        return True

    def place(
        self, job: Job, matched: npt.NDArray[np.int64], view: ClusterView, now: float
    ) -> Placement | None:
        """Where the request is computed; `matched` are blocks of its prompt that each worker holds from
        the start. None: it waits at the gateway until something changes."""


def placement(decode: int, prefill: int | None) -> Placement:
    """A plan of a policy that predicts nothing and pulls no prefix."""
    return Placement(decode, prefill, None, 0.0, 0.0)
