"""What running a request's decode phase would cost on each worker."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from router.cluster_view import ClusterView, Floats
from router.joint_ask import JointAsk


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """All arrays are [workers]."""

    seconds: Floats
    """Its own decoding, and what those who run there lose by it while it lasts."""
    beside_s: Floats
    """What it loses itself to prompts that are queued there, if it does not wait for them anyway."""
    step_s: Floats
    """A step there as things are."""


def decode_cost(ask: JointAsk, view: ClusterView) -> DecodeCost:
    """Own: expected tokens x predicted step; lost by each who runs: expected tokens x growth of the step;
    beside: steps in which queued prompts are computed, at most the expected tokens, x growth of the step."""
    nothing = np.zeros_like(view.running)
    more, attended = view.running + 1.0, view.kv_tokens + ask.tokens
    before, after, mixed = view.steps.predict(
        np.array([nothing, nothing, view.step_tokens]),
        0.0,
        np.array([view.running, more, more]),
        np.array([view.kv_tokens, attended, attended]),
    )
    lost = view.running * np.maximum(after - before, 0.0)
    steps = np.minimum(view.queued_tokens / view.step_tokens, view.expected_output)
    return DecodeCost(view.expected_output * (after + lost), steps * np.maximum(mixed - after, 0.0), before)


def pause_harm_s(ask: JointAsk, view: ClusterView, step_s: Floats, pause_s: Floats) -> Floats:
    """Seconds lost by all who run on each worker if each pauses for `pause_s`, [workers].

    Weighed by the share of the promise that they would use up: the mean time between tokens with the
    pause over the promised one, at most 1. Whoever is far ahead of the promise is hardly harmed.
    """
    promised_s = view.expected_output * ask.itl_s
    share = (
        np.minimum((view.expected_output * step_s + pause_s) / promised_s, 1.0)
        if math.isfinite(promised_s)
        else 1.0
    )
    harm: Floats = view.running * pause_s * share
    return harm


def room_tokens(ask: JointAsk, view: ClusterView) -> Floats:
    """KV room left on each worker after this request and the expected growth of all, [workers]."""
    growth = (view.running + 1.0) * 0.5 * view.expected_output
    return view.free_tokens - ask.tokens - growth
