"""What a worker says of its load, and of how long its steps and pulls took: the planner learns from both."""

from __future__ import annotations

from protocol.ids import WorkerIdentity
from protocol.wire_struct import Struct


class StepSample(Struct):
    """One finished step: what it computed, and how long that took."""

    prompt: int
    """Tokens of all slices longer than one."""
    context: float
    """Tokens cached before those slices, averaged over the tokens of the prompt."""
    decodes: int
    """Slices of one token."""
    kv_tokens: int
    """Tokens that those attend to, added up."""
    seconds: float


class PullSample(Struct):
    """One finished pull of KV by this worker."""

    source: WorkerIdentity
    tokens: int
    seconds: float
    """From the first post to the last verified block."""


class OwnLoad(Struct):
    """The part of a worker's load that came from the gateway which is told."""

    queued_tokens: int
    running: int
    """Sequences that decode, and those whose KV is on its way."""


class LoadReport(Struct):
    """What a worker has to do now; the router predicts from it."""

    running: int
    waiting: int
    queued_tokens: int
    """Prompt tokens that are admitted but not computed."""
    total_blocks: int
    free_blocks: int
    """Free, or cached without a user: what a new request could take."""
    held_blocks: tuple[tuple[str, int], ...]
    """Blocks by owner kind, adding up to total_blocks."""
    steps: int
    step_s: float
    """Seconds of the last step; 0 when none ran."""
    prefill_tokens_per_s: float
    """Measured, exponentially averaged; 0 when unknown."""
    counters: tuple[tuple[str, int], ...] = ()
    """Monotonic counts by name (transferred blocks, bytes, failed verifications, ...)."""
    begun_s: float = 0.0
    """Predicted seconds of the steps that have begun, where that is longer than the time between two
    reports; 0 otherwise. So much longer this worker may be silent."""
    reserved: int = 0
    """Slots whose KV is on its way: sequences that will decode here."""
    step_tokens: int = 0
    """Prompt tokens that the next step would compute at most beside the present batch; 0 when unknown."""
    kv_tokens: int = 0
    """Tokens that the running sequences attend to, added up."""
    step_samples: tuple[StepSample, ...] = ()
    """Steps since the last report, or some of them."""
    pull_samples: tuple[PullSample, ...] = ()
    """Pulls since the last report, or some of them."""
