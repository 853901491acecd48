"""What computing a prompt would cost on each worker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.cluster_view import ClusterView, Flags, Floats
from router.joint_ask import JointAsk


@dataclass(frozen=True, slots=True)
class PromptCost:
    """All arrays are [workers]."""

    source: int
    """Whose cached prefix is the longest."""
    pulls: Flags
    """Where pulling from `source` is sooner than computing."""
    first_token_s: Floats
    """Queue, pull and prefill: until the first token."""
    work_s: Floats
    """Of that, the computing: for so long nobody else is computed there."""
    delay_s: Floats
    """Seconds for which each sequence running there would pause."""


def prompt_cost(ask: JointAsk, view: ClusterView, step_s: Floats, tie_s: Floats) -> PromptCost:
    """Every worker at once; which of them may compute it is decided elsewhere. `step_s`: a step without any
    prompt, [workers]."""
    held = np.minimum(ask.matched * ask.block_tokens, ask.tokens - 1).astype(np.float64)
    source = int(np.argmax(held - tie_s))
    best = float(held[source])
    chunk_s = view.steps.predict(view.step_tokens, 0.0, view.running, view.kv_tokens)
    queue_s = view.queued_tokens / view.step_tokens * chunk_s
    pull_s = (best - held) / view.pulls.from_source(source)
    alone_s, alone_steps = _prefill(ask, view, held, chunk_s)
    pulled_s, pulled_steps = _prefill(ask, view, np.full_like(held, best), chunk_s)
    compute = queue_s + alone_s
    pull = np.maximum(queue_s, pull_s) + pulled_s
    pulls = (pull < compute) & (best > held)
    steps = np.where(pulls, pulled_steps, alone_steps)
    delay_s = steps * np.maximum(chunk_s - step_s, 0.0)
    work_s = np.where(pulls, pulled_s, alone_s)
    return PromptCost(source, pulls, np.where(pulls, pull, compute), work_s, delay_s)


def _prefill(ask: JointAsk, view: ClusterView, held: Floats, chunk_s: Floats) -> tuple[Floats, Floats]:
    """Seconds for what is missing, in whole chunks and a rest, and how many whole chunks that is worth."""
    missing = ask.tokens - held
    whole = np.floor(missing / view.step_tokens)
    rest = missing - whole * view.step_tokens
    rest_s = view.steps.predict(rest, held, view.running, view.kv_tokens) * (rest > 0)
    return whole * chunk_s + rest_s, missing / view.step_tokens
