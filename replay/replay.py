"""Runs one trace through one modelled cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.errors import EngineFailed, InvalidSpec
from replay.ours import Ours
from replay.outcome import Outcome, outcome_of, possible_hits
from replay.plain_policies import Dynamo, LeastLoaded, RoundRobin, StaticThreshold
from replay.policy import Policy
from replay.settings import PolicyName, ReplaySettings
from replay.trace import TraceRequest
from replay.world import World

PROGRESS_EVERY = 2000
"""Events between two reports of progress."""


def replay(
    requests: Sequence[TraceRequest],
    settings: ReplaySettings,
    progress: Callable[[int], None] = lambda finished: None,
) -> Outcome:
    """Deterministic. `progress` is told how many requests have been answered.

    Raises InvalidSpec for a prompt that no worker could hold."""
    _check(requests, settings)
    world = World(requests, settings, policy_of(settings))
    events = 0
    while world.step():
        events += 1
        if events % PROGRESS_EVERY == 0:
            progress(len(world.finished_jobs))
    if len(world.finished_jobs) != len(requests):
        raise EngineFailed(f"{len(requests) - len(world.finished_jobs)} requests were never answered")
    progress(len(requests))
    return outcome_of(world.finished_jobs, world.gaps, settings.slo, possible_hits(requests))


def policy_of(settings: ReplaySettings) -> Policy:
    """A fresh one, as some remember."""
    match settings.policy:
        case PolicyName.ROUND_ROBIN:
            return RoundRobin()
        case PolicyName.LEAST_LOADED:
            return LeastLoaded()
        case PolicyName.DYNAMO:
            return Dynamo()
        case PolicyName.STATIC_THRESHOLD:
            return StaticThreshold()
        case _:
            return Ours(settings.slo)


def _check(requests: Sequence[TraceRequest], settings: ReplaySettings) -> None:
    largest = max(request.input_tokens + request.output_tokens for request in requests)
    if largest + 1024 > settings.kv_tokens:
        raise InvalidSpec(f"a worker holds {settings.kv_tokens} tokens, but one request needs {largest}")
    if settings.decodes < 1:
        raise InvalidSpec("at least one decode worker is needed")
