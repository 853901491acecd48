"""The first router: plans ranked by predicted load, in seconds. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
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
    max_total: int
    """Prompt and generated tokens at most."""


class LoadRouter:
    """Ranks pairs of a decode and a prefill worker by predicted seconds; the decode worker computes the
    prompt itself where no prefill worker can."""

    def __init__(self, max_reserved_wait_s: float) -> None:
        """`max_reserved_wait_s`: a longer prefill queue is waited for at the gateway."""
        self._max_reserved_wait_s = max_reserved_wait_s

    def plans(
        self, ask: Ask, workers: Seq[WorkerView], avoid: frozenset[WorkerIdentity]
    ) -> tuple[RoutePlan, ...]:
        """Plans, cheapest first; none if there is no place now. Workers in `avoid` failed this request
        before: such a decode worker is used only when there is no other, such a prefill worker never,
        as there is always the decode worker."""
        decodes = _with_room(ask, workers, avoid)
        prefills = [w for w in workers if w.record.role == "prefill" and w.identity not in avoid]
        prefills = [w for w in prefills if _could_hold(w, ask.tokens)]
        if not prefills:
            return _local_plans(ask, decodes)
        prompt = [(_queue_s(w) + ask.tokens / _speed(w), w) for w in prefills if self._is_short(w)]
        return _ranked(
            RoutePlan(d.identity, p.identity, decode_s + prompt_s)
            for decode_s, d in _best([(_decode_s(w), w) for w in decodes])
            for prompt_s, p in _best(prompt)
        )

    def last_resort(self, ask: Ask, workers: Seq[WorkerView]) -> tuple[RoutePlan, ...]:
        """What is better than an error when prefill workers have refused for long: the prompt is computed
        on a decode worker that has room and little else to compute, whatever failed before."""
        decodes = _with_room(ask, workers, frozenset())
        return _local_plans(ask, [w for w in decodes if self._is_short(w)])

    def alone(
        self, ask: Ask, workers: Seq[WorkerView], avoid: frozenset[WorkerIdentity]
    ) -> tuple[RoutePlan, ...]:
        """Plans on one worker each: whoever may end engines is not to end two of them."""
        return _local_plans(ask, _with_room(ask, workers, avoid))

    def _is_short(self, worker: WorkerView) -> bool:
        return _queue_s(worker) <= self._max_reserved_wait_s


def _with_room(ask: Ask, workers: Seq[WorkerView], avoid: frozenset[WorkerIdentity]) -> list[WorkerView]:
    """Decode workers that may admit the request now. If none could ever hold it, any may say so."""
    pool = [w for w in workers if w.record.role == "decode"]
    able = [w for w in pool if _could_hold(w, max(ask.tokens, ask.max_total - 1))]
    trusted = [w for w in able if w.identity not in avoid]
    return [w for w in trusted or able if _has_room(w, ask)] if able else pool


def _local_plans(ask: Ask, decodes: Seq[WorkerView]) -> tuple[RoutePlan, ...]:
    costed = [(_decode_s(w) + _queue_s(w) + ask.tokens / _speed(w), w) for w in decodes]
    return _ranked(RoutePlan(w.identity, None, seconds) for seconds, w in _best(costed))


def _best(costed: Seq[tuple[float, WorkerView]]) -> list[tuple[float, WorkerView]]:
    return heapq.nsmallest(BEST_OF_EACH, costed, key=lambda pair: (pair[0], pair[1].record.worker))


def _ranked(plans: Iterable[RoutePlan]) -> tuple[RoutePlan, ...]:
    return tuple(sorted(plans, key=lambda plan: plan.predicted_s))


def _speed(worker: WorkerView) -> float:
    measured = worker.load.prefill_tokens_per_s if worker.load is not None else 0.0
    return measured or DEFAULT_TOKENS_PER_S


def _queue_s(worker: WorkerView) -> float:
    """Seconds until the prompts before this one are computed."""
    reported = worker.load.queued_tokens if worker.load is not None else 0
    return max(reported, worker.open_tokens) / _speed(worker)


def _could_hold(worker: WorkerView, tokens: int) -> bool:
    record = worker.record
    return record.block_size == 0 or tokens <= record.total_blocks * record.block_size


def _has_room(worker: WorkerView, ask: Ask) -> bool:
    if worker.load is None or worker.record.block_size == 0:
        return True
    on_the_way = worker.open_tokens  # sent since that report, or waiting there without blocks
    return worker.load.free_blocks >= -(-(ask.tokens + on_the_way) // worker.record.block_size)


def _decode_s(worker: WorkerView) -> float:
    """One more sequence slows every running one: counted in steps of the present length."""
    reported = worker.load.running + worker.load.waiting if worker.load is not None else 0
    step_s = (worker.load.step_s if worker.load is not None else 0.0) or DEFAULT_STEP_S
    return step_s * max(reported, worker.open_requests)
