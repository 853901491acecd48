"""The first router: plans ranked by predicted load, in seconds. Pure."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from protocol.ids import WorkerIdentity
from router.route_plan import RoutePlan, WorkerView

DEFAULT_TOKENS_PER_S = 2000.0
"""Prefill speed assumed of a worker that has not measured its own."""
DEFAULT_STEP_S = 0.01
BEST_OF_EACH = 4
"""Workers of each pool that are joined into plans, so planning stays flat in the number of workers."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the router needs to know of a request."""

    tokens: int
    """Prompt and tokens sent: what has to be in KV before the next token."""
    max_tokens: int


class LoadRouter:
    """Ranks (decode, prefill) pairs by predicted seconds; computes locally only without a prefill pool."""

    def __init__(self, max_reserved_wait_s: float) -> None:
        """`max_reserved_wait_s`: a longer prefill queue is waited for at the gateway."""
        self._max_reserved_wait_s = max_reserved_wait_s

    def plans(
        self, ask: Ask, workers: Seq[WorkerView], avoid: frozenset[WorkerIdentity]
    ) -> tuple[RoutePlan, ...]:
        """Plans, cheapest first; none if no decode worker has room now. Workers in `avoid` failed this
        request before and are used only when there is no other."""
        decodes = _cheapest([(_decode_s(w, ask), w) for w in workers if _has_room(w, ask)], avoid)
        pool = [w for w in workers if w.record.role == "prefill"]
        fitting = [(self._wait_s(w), w) for w in pool]
        prefills = _cheapest([(s, w) for s, w in fitting if s <= self._max_reserved_wait_s], avoid)
        if not pool:
            local = [RoutePlan(d.identity, None, s + ask.tokens / _speed(d)) for s, d in decodes]
            return tuple(sorted(local, key=lambda plan: plan.predicted_s))
        joined = [
            RoutePlan(d.identity, p.identity, ds + ps + ask.tokens / _speed(p))
            for ds, d in decodes
            for ps, p in prefills
        ]
        return tuple(sorted(joined, key=lambda plan: plan.predicted_s))

    def _wait_s(self, worker: WorkerView) -> float:
        reported = worker.load.queued_tokens if worker.load is not None else 0
        return max(reported, worker.open_tokens) / _speed(worker)


def _cheapest(
    costed: Seq[tuple[float, WorkerView]], avoid: frozenset[WorkerIdentity]
) -> list[tuple[float, WorkerView]]:
    trusted = [pair for pair in costed if pair[1].identity not in avoid]
    ranked = sorted(trusted or costed, key=lambda pair: (pair[0], pair[1].record.worker))
    return ranked[:BEST_OF_EACH]


def _speed(worker: WorkerView) -> float:
    measured = worker.load.prefill_tokens_per_s if worker.load is not None else 0.0
    return measured or DEFAULT_TOKENS_PER_S


def _has_room(worker: WorkerView, ask: Ask) -> bool:
    if worker.record.role != "decode":
        return False
    if worker.load is None or worker.record.block_size == 0:
        return True
    return worker.load.free_blocks >= -(-ask.tokens // worker.record.block_size)


def _decode_s(worker: WorkerView, ask: Ask) -> float:
    """One more sequence slows every running one: counted in steps of the present length."""
    reported = worker.load.running + worker.load.waiting if worker.load is not None else 0
    step_s = (worker.load.step_s if worker.load is not None else 0.0) or DEFAULT_STEP_S
    return step_s * max(reported, worker.open_requests)
