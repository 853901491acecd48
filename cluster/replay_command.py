"""`baton replay`: a trace in virtual time, with a progress bar and a table."""

from __future__ import annotations

from pathlib import Path

from rich.progress import Progress
from rich.table import Table

from cluster.screen import Screen
from cluster.spec import Spec
from replay.engine_times import EngineTimes
from replay.outcome import Outcome
from replay.replay import replay
from replay.settings import PolicyName, ReplaySettings
from replay.trace import scaled
from replay.trace_file import read_trace


def run_replay(
    screen: Screen,
    trace: Path,
    spec: Spec,
    policy: PolicyName,
    rate: float | None,
    requests: int | None,
    kv_tokens: int,
) -> None:
    """Raises BatonError for a trace or spec that cannot be replayed."""
    wanted = scaled(read_trace(trace), rate, requests)
    settings = settings_of(spec, policy, kv_tokens)
    with Progress(console=screen.out, transient=True) as progress:
        bar = progress.add_task("replaying", total=len(wanted))
        outcome = replay(wanted, settings, lambda done: progress.update(bar, completed=done))
    screen.out.print(outcome_table(outcome))
    screen.say(_what_ran(settings))
    screen.say("modelled: engines and links (Dynamo's mock formulas), index without delay; real: the planner")


def _what_ran(settings: ReplaySettings) -> str:
    times = settings.times
    return (
        f"{settings.policy.value} on {settings.prefills} prefill and {settings.decodes} decode workers, "
        f"{settings.kv_tokens} tokens of KV each; steps of at most {times.max_batch_tokens} prompt tokens, "
        f"{times.max_step_s * 1000:g} ms beside {times.max_running} sequences"
    )


def settings_of(spec: Spec, policy: PolicyName, kv_tokens: int) -> ReplaySettings:
    """Pools and bounds of a step from the spec; the rest is the model's own."""
    bounds = spec.scheduling
    times = EngineTimes(bounds.max_batch_tokens, bounds.max_running, bounds.max_step_ms / 1000.0)
    return ReplaySettings(
        spec.pools.prefill.replicas, spec.pools.decode.replicas, kv_tokens, policy, times=times
    )


def outcome_table(outcome: Outcome) -> Table:
    """One row per figure."""
    table = Table("figure", "p50", "p90", "p99", "value")
    table.add_row("TTFT, s", *_three(outcome.ttft_p50_s, outcome.ttft_p90_s, outcome.ttft_p99_s), "")
    itl = (outcome.itl_p50_s, outcome.itl_p90_s, outcome.itl_p99_s)
    table.add_row("ITL, ms", *_three(*(seconds * 1000.0 for seconds in itl)), "")
    singles = {
        "goodput under the SLO, requests/s": outcome.goodput * outcome.requests / outcome.span_s,
        "requests within the SLO, share": outcome.goodput,
        "first token in time, share": outcome.ttft_met,
        "mean ITL in time, share": outcome.itl_met,
        "prefix hits, share of an infinite cache's": outcome.hits,
        "disaggregated, share": outcome.disaggregated,
        "preemptions": float(outcome.preemptions),
        "virtual seconds": outcome.span_s,
    }
    for name, value in singles.items():
        table.add_row(name, "", "", "", f"{value:.4g}")
    return table


def _three(*values: float) -> list[str]:
    return [f"{value:.4g}" for value in values]
