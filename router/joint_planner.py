"""The joint plan: decode worker, prefill worker or none, source of the prefix, by predicted seconds. Pure."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from router.cluster_view import ClusterView, Flags, Floats
from router.decode_cost import DecodeCost, decode_cost, pause_harm_s, room_tokens
from router.joint_ask import JointAsk
from router.prompt_cost import PromptCost, prompt_cost
from router.tie_break import tie_break_s

BEST_OF_EACH = 4
"""Workers of each pool that are joined into plans, so planning stays flat in the number of workers."""


class Placement(msgspec.Struct, frozen=True):
    """One candidate plan, of a cheap kind, as there are many. Workers are places in the view's arrays."""

    decode: int
    prefill: int | None
    """None: the decode worker computes the prompt itself."""
    source: int | None
    """Whom the computing worker pulls the prefix from; None: it uses its own."""
    first_token_s: float
    """Predicted seconds to the first token."""
    cost_s: float
    """Predicted seconds of the request, and of harm to others."""


def joint_plans(ask: JointAsk, view: ClusterView) -> tuple[Placement, ...]:
    """Plans, cheapest first; none if no decode worker has room.

    cost = time to first token + exposed transfer + decoding, and what others lose by it:
    - those who run there, by slower steps while this one decodes, and, if the prompt is computed among
      them, by pauses, which count as far as they use up the promised time between tokens;
    - those who wait for a place: while a prefill worker computes this prompt, each loses the prompt's work
      over the number of prefill workers.

    A plan whose first token would come too late ranks behind all that are in time.
    """
    tie_s = tie_break_s(ask.seed, len(view.running))
    room = view.decodes & (room_tokens(ask, view) >= 0.0)
    decodes = np.flatnonzero(room)
    if not len(decodes):
        return ()
    decode = decode_cost(ask, view)
    prompt = prompt_cost(ask, view, decode.step_s, tie_s)
    plans = _local(ask, view, prompt, decode, room, tie_s) + _remote(
        ask, view, prompt, decode, decodes, tie_s
    )
    return tuple(sorted(plans, key=lambda plan: (plan.first_token_s > ask.slack_s, plan.cost_s)))


def _local(
    ask: JointAsk, view: ClusterView, prompt: PromptCost, decode: DecodeCost, room: Flags, tie_s: Floats
) -> list[Placement]:
    able = np.flatnonzero(room & view.computes_local)
    if not len(able):
        return []
    harm_s = pause_harm_s(ask, view, decode.step_s, prompt.delay_s)
    costs = (prompt.first_token_s + harm_s + decode.seconds + tie_s)[able]
    return [
        Placement(d, None, _source(prompt, d), float(prompt.first_token_s[d]), float(costs[i]))
        for i in _best(costs)
        for d in (int(able[i]),)
    ]


def _remote(
    ask: JointAsk,
    view: ClusterView,
    prompt: PromptCost,
    decode: DecodeCost,
    decodes: npt.NDArray[np.int64],
    tie_s: Floats,
) -> list[Placement]:
    prefills = np.flatnonzero(view.prefills)
    if not len(prefills):
        return []
    decode_s = decode.seconds + decode.beside_s + tie_s
    near = decodes[_best(decode_s[decodes])]
    lacking = np.maximum(ask.tokens - ask.matched[near] * ask.block_tokens, 0.0)
    held_up_s = prompt.work_s[prefills] * (view.waiting / len(prefills)) + tie_s[prefills]
    plans = []
    for i in _best(prompt.first_token_s[prefills] + held_up_s):
        p = int(prefills[i])
        first_s = float(prompt.first_token_s[p])
        exposed = np.minimum(lacking, view.step_tokens[p]) / view.pulls.between(near, p)
        costs = first_s + float(held_up_s[i]) + exposed + decode_s[near]
        plans += [
            Placement(int(d), p, _source(prompt, p), first_s, float(cost))
            for d, cost in zip(near, costs, strict=True)
        ]
    return plans


def _source(prompt: PromptCost, worker: int) -> int | None:
    return prompt.source if prompt.pulls[worker] else None


def _best(costs: Floats) -> npt.NDArray[np.int64]:
    if len(costs) <= BEST_OF_EACH:
        return np.arange(len(costs), dtype=np.int64)
    return np.argpartition(costs, BEST_OF_EACH)[:BEST_OF_EACH]
