"""Policies without prediction, as other systems ship them; all of them send the request at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from replay.job import Job
from replay.policy import Policy, placement
from replay.trace import BLOCK_TOKENS
from router.cluster_view import ClusterView
from router.joint_planner import Placement
from router.tie_break import tie_break_s

LOCAL_BELOW_TOKENS = 256
"""vLLM router: prompts with at most so many uncached tokens bypass the prefill pool."""


class RoundRobin(Policy):
    """Each pool in turn, always remote."""

    def __init__(self) -> None:
        self._turn = 0

    def place(
        self, job: Job, matched: npt.NDArray[np.int64], view: ClusterView, now: float
    ) -> Placement | None:
        """See the base."""
        decodes, prefills = np.flatnonzero(view.decodes), np.flatnonzero(view.prefills)
        turn, self._turn = self._turn, self._turn + 1
        prefill = int(prefills[turn % len(prefills)]) if len(prefills) else None
        return placement(int(decodes[turn % len(decodes)]), prefill)


class LeastLoaded(Policy):
    """The fewest queued prompt tokens and the fewest running sequences, always remote."""

    def place(
        self, job: Job, matched: npt.NDArray[np.int64], view: ClusterView, now: float
    ) -> Placement | None:
        """See the base."""
        ties = tie_break_s(job.number, len(view.running))
        return placement(
            _least(view.running + ties, view.decodes),
            _least(view.queued_tokens + ties, view.prefills) if view.prefills.any() else None,
        )


class StaticThreshold(Policy):
    """Decode worker first, by load; local if it lacks fewer tokens than a fixed number, else the prefill
    worker with the best sum of cached share and idleness (llm-d's decider with vLLM router's threshold)."""

    def place(
        self, job: Job, matched: npt.NDArray[np.int64], view: ClusterView, now: float
    ) -> Placement | None:
        """See the base."""
        ties = tie_break_s(job.number, len(view.running))
        lacking = job.prompt - np.minimum(matched * BLOCK_TOKENS, job.prompt)
        cached = 1.0 - lacking / job.prompt
        decode = _least(view.running / max(1.0, view.running.max()) - cached + ties, view.decodes)
        if lacking[decode] <= LOCAL_BELOW_TOKENS or not view.prefills.any():
            return placement(decode, None)
        queue = view.queued_tokens / max(1.0, view.queued_tokens[view.prefills].max())
        return placement(decode, _least(queue - cached + ties, view.prefills))


class Dynamo(Policy):
    """ai-dynamo 1.6.1: the cost of its KV router with published defaults, and the `isl_bounding` rule of
    its conditional disaggregation.

    Prefill pool: max(0, active prefill tokens + prompt - overlap). Decode pool: KV tokens of active
    requests plus this one's, minus the overlap there. Ties at random.
    """

    LOCAL_BELOW_TOKENS = 2048
    LOCAL_BELOW_SHARE = 0.7

    def place(
        self, job: Job, matched: npt.NDArray[np.int64], view: ClusterView, now: float
    ) -> Placement | None:
        """See the base."""
        ties = tie_break_s(job.number, len(view.running))
        overlap = np.minimum(matched * BLOCK_TOKENS, job.prompt)
        decode = _least(np.maximum(view.kv_tokens + job.prompt - overlap, 0) + ties, view.decodes)
        effective = job.prompt - int(overlap[decode])
        bounded = effective < self.LOCAL_BELOW_TOKENS and effective / job.prompt < self.LOCAL_BELOW_SHARE
        if bounded or not view.prefills.any():
            return placement(decode, None)
        raw = view.queued_tokens + job.prompt - overlap
        return placement(decode, _least(np.maximum(raw, 0) + ties, view.prefills))


def _least(cost: npt.NDArray[np.float64], among: npt.NDArray[np.bool_]) -> int:
    return int(np.argmin(np.where(among, cost, np.inf)))
