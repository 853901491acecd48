"""What running a request's decode phase would cost on each worker."""

from __future__ import annotations

import numpy as np

from router.cluster_view import ClusterView, Floats
from router.joint_ask import JointAsk


def decode_cost_s(ask: JointAsk, view: ClusterView) -> tuple[Floats, Floats]:
    """Seconds of its own decoding, and seconds by which it slows each sequence there, [workers].

    Own: expected tokens x predicted step; slowed: expected tokens x growth of the step.
    """
    nothing = np.zeros_like(view.running)
    before = view.steps.predict(nothing, 0.0, view.running, view.kv_tokens)
    after = view.steps.predict(nothing, 0.0, view.running + 1.0, view.kv_tokens + ask.tokens)
    return view.expected_output * after, view.expected_output * np.maximum(after - before, 0.0)


def room_tokens(ask: JointAsk, view: ClusterView) -> Floats:
    """KV room left on each worker after this request and the expected growth of all, [workers]."""
    growth = (view.running + 1.0) * 0.5 * view.expected_output
    return view.free_tokens - ask.tokens - growth
