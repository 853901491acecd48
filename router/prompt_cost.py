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
    chunk_s, seconds, chunks = _prefill(ask, view, np.array([held, np.full_like(held, best)]))
    (alone_s, pulled_s), (alone_steps, pulled_steps) = seconds, chunks
    queue_s = view.queued_tokens / view.step_tokens * chunk_s
    pull_s = (best - held) / view.pulls.from_source(source)
    compute = queue_s + alone_s
    pull = np.maximum(queue_s, pull_s) + pulled_s
    pulls = (pull < compute) & (best > held)
    steps = np.where(pulls, pulled_steps, alone_steps)
    delay_s = steps * np.maximum(chunk_s - step_s, 0.0)
    work_s = np.where(pulls, pulled_s, alone_s)
    return PromptCost(source, pulls, np.where(pulls, pull, compute), work_s, delay_s)


def _prefill(ask: JointAsk, view: ClusterView, held: Floats) -> tuple[Floats, Floats, Floats]:
    """`held`: [ways, workers]. Seconds of a whole chunk, [workers]; seconds for what is missing, in whole
    chunks and a rest, and how many whole chunks that is worth, both [ways, workers]."""
    missing = ask.tokens - held
    whole = np.floor(missing / view.step_tokens)
    rest = missing - whole * view.step_tokens
    prompts, contexts = np.vstack([view.step_tokens, rest]), np.vstack([np.zeros_like(held[0]), held])
    predicted = view.steps.predict(prompts, contexts, view.running, view.kv_tokens)
    chunk_s = predicted[0]
    return chunk_s, whole * chunk_s + predicted[1:] * (rest > 0), missing / view.step_tokens
