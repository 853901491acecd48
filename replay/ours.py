"""Baton's own policy: the joint planner, as the gateway would use it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from replay.job import Job
from replay.policy import Policy
from replay.slo import Slo
from replay.trace import BLOCK_TOKENS
from router.cluster_view import ClusterView
from router.joint_ask import JointAsk
from router.joint_planner import Placement, joint_plans


class Ours(Policy):
    """The cheapest plan; it waits while more than one full step of prompts is ahead of it there."""

    def __init__(self, slo: Slo) -> None:
        self._slo = slo

    def may_place(self, view: ClusterView) -> bool:
        """Some worker has no full step of prompts ahead."""
        open_now = view.queued_tokens <= view.step_tokens
        return bool((open_now & (view.prefills | view.computes_local)).any())

    def place(
        self, job: Job, matched: npt.NDArray[np.int64], view: ClusterView, now: float
    ) -> Placement | None:
        """See the base."""
        ask = JointAsk(job.prompt, matched, BLOCK_TOKENS, job.number, job.due_s - now, self._slo.itl_s)
        plans = joint_plans(ask, view)
        if not plans:
            return None
        best = plans[0]
        computes = best.decode if best.prefill is None else best.prefill
        return best if view.queued_tokens[computes] <= view.step_tokens[computes] else None
