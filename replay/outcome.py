"""What one replay found out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from replay.gap_counts import GapCounts
from replay.job import Job
from replay.slo import Slo
from replay.trace import BLOCK_TOKENS, TraceRequest


@dataclass(frozen=True, slots=True)
class Outcome:
    """Times in seconds of virtual time; shares between 0 and 1."""

    requests: int
    span_s: float
    """From the first arrival to the last token."""
    ttft_p50_s: float
    ttft_p90_s: float
    ttft_p99_s: float
    itl_p50_s: float
    itl_p90_s: float
    itl_p99_s: float
    goodput: float
    """Share of requests that were served as promised."""
    ttft_met: float
    itl_met: float
    hits: float
    """Prompt tokens not computed, over those of an infinite cache."""
    disaggregated: float
    """Share of requests whose first token came from a prefill worker."""
    preemptions: int


def outcome_of(jobs: Sequence[Job], gaps: GapCounts, slo: Slo, possible_hits: int) -> Outcome:
    """Sums up requests that have all been answered; at least one."""
    ttft = sorted(job.first_s - job.request.arrival_s for job in jobs)
    in_time = [job.first_s <= job.due_s for job in jobs]
    fluent = [_mean_gap_s(job) <= slo.itl_s for job in jobs]
    return Outcome(
        requests=len(jobs),
        span_s=max(job.last_s for job in jobs) - min(job.request.arrival_s for job in jobs),
        ttft_p50_s=_rank(ttft, 0.5),
        ttft_p90_s=_rank(ttft, 0.9),
        ttft_p99_s=_rank(ttft, 0.99),
        itl_p50_s=gaps.percentile(0.5),
        itl_p90_s=gaps.percentile(0.9),
        itl_p99_s=gaps.percentile(0.99),
        goodput=sum(a and b for a, b in zip(in_time, fluent, strict=True)) / len(jobs),
        ttft_met=sum(in_time) / len(jobs),
        itl_met=sum(fluent) / len(jobs),
        hits=sum(job.reused_tokens for job in jobs) / possible_hits if possible_hits else 1.0,
        disaggregated=sum(job.remote for job in jobs) / len(jobs),
        preemptions=sum(job.preemptions for job in jobs),
    )


def possible_hits(requests: Sequence[TraceRequest]) -> int:
    """Prompt tokens that an infinite cache with perfect placement would not compute."""
    seen: set[int] = set()
    hits = 0
    for request in requests:
        known = next((i for i, block in enumerate(request.chain) if block not in seen), len(request.chain))
        hits += min(known * BLOCK_TOKENS, request.input_tokens - 1)
        seen.update(request.chain)
    return hits


def _mean_gap_s(job: Job) -> float:
    between = job.request.output_tokens - 1
    return (job.last_s - job.first_s) / between if between else 0.0


def _rank(ranked: Sequence[float], share: float) -> float:
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
