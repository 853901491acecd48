"""The live router: joint plans over the workers that may take a request now. Pure."""

from __future__ import annotations

import math

import numpy as np

from protocol.ids import WorkerIdentity
from router.ask import Ask
from router.candidates import Candidates, candidates
from router.cluster_view import ClusterView
from router.joint_ask import JointAsk
from router.joint_planner import Placement, joint_plans
from router.outlook import Outlook
from router.plan_forecast import PlanForecast
from router.prefix_hits import Counts
from router.route_plan import RoutePlan
from router.slo import Slo

NEWS_S = 0.01
"""Until a gateway hears what a worker has done: where steps are so short, a step ahead is soon none."""

Avoid = frozenset[WorkerIdentity]
NOBODY: Avoid = frozenset()


class JointRouter:
    """Ranks (decode, prefill or none, source of the prefix) by predicted seconds."""

    def __init__(self, outlook: Outlook, slo: Slo, max_reserved_wait_s: float, *, local: bool = True) -> None:
        """`max_reserved_wait_s`: as the last resort nobody waits longer in a queue; `local`: whether decode
        workers compute prompts where that is sooner, or only where no prefill worker can."""
        self._board = outlook.board
        self._index = outlook.index
        self._slo = slo
        self._max_reserved_wait_s = max_reserved_wait_s
        self._local = local

    def blocks(self) -> tuple[str, int] | None:
        """Fingerprint and block size by which workers know their KV; None before any was linked."""
        return self._board.blocks

    def answered(self, tokens: int) -> None:
        """A request has ended after so many tokens."""
        self._board.learn_output(tokens)

    def measured(self, plan: RoutePlan, ways_s: float) -> None:
        """What a request on that plan took up to its first token beyond what its workers account for."""
        self._board.ways.observe(ways_s, remote=plan.prefill is not None)

    def plans(self, ask: Ask, avoid: Avoid) -> tuple[RoutePlan, ...]:
        """Plans, cheapest first; none if there is no place now, or if the best worker has more than a full
        step of prompts ahead (and more than NEWS_S): it is sooner than others even so, and is waited for at
        the gateway. Workers
        in `avoid` failed this request before: such a decode worker is used only when there is no other,
        such a prefill worker never, as there is always the decode worker."""
        able = candidates(ask, self._board.columns, self._board.marked(avoid))
        if able.helped and not self._local:
            able = able.remote_only()
        found = self._planned(ask, able, avoid)
        if not found or not self._is_open(found[0]):
            return ()
        return tuple([plan for plan in found if self._is_open(plan)])

    def last_resort(self, ask: Ask) -> tuple[RoutePlan, ...]:
        """What is better than an error when others have refused for long: the prompt is computed on a
        decode worker that has room and little else to compute, whatever failed before."""
        able = candidates(ask, self._board.columns, self._board.marked(NOBODY)).local_only()
        found = self._planned(ask, able, NOBODY)
        return tuple(one for one in found if self.forecast(one).queue_s <= self._max_reserved_wait_s)

    def alone(self, ask: Ask, avoid: Avoid) -> tuple[RoutePlan, ...]:
        """Plans on one worker each: whoever may end engines is not to end two of them."""
        able = candidates(ask, self._board.columns, self._board.marked(avoid)).local_only()
        return tuple(self._planned(ask, able, avoid, pull=False))

    @property
    def promises(self) -> bool:
        """Whether first tokens are due at all."""
        return math.isfinite(self._slo.first_token_s)

    def promised_s(self, ask: Ask) -> float:
        """Seconds until its first token is late; infinite where nothing is promised."""
        return self._slo.first_token_s - ask.waited_s

    def prompt_s(self, ask: Ask) -> float:
        """Seconds of computing what no worker holds of its prompt, beside nobody; 0 without workers."""
        columns = self._board.columns
        usable = columns.usable
        able = usable & columns.prefill if (usable & columns.prefill).any() else usable
        if not able.any():
            return 0.0
        held = min(int(self._matched(ask, NOBODY).max()) * ask.block_tokens, ask.tokens - 1)
        return self._prefill_s(int(np.argmax(able)), ask.tokens - held, held, 0.0, 0.0)

    def forecast(self, plan: RoutePlan) -> PlanForecast:
        """What that plan would take, phase by phase, as things are now."""
        columns, steps = self._board.columns, self._board.steps
        at, decode = self._place(plan.computes), self._place(plan.decode)
        running, kv = float(columns.running[at]), float(columns.kv[at])
        chunk = float(columns.step_tokens[at])
        chunk_s = steps.at(at, chunk, 0.0, running, kv)
        queue_s = float(columns.queued[at]) / chunk * chunk_s
        prefill_s = self._prefill_s(at, plan.missing_tokens, plan.held_tokens, running, kv)
        pull_s = 0.0
        source = self._board.place(plan.source) if plan.source is not None else None
        if source is not None:
            pull_s = plan.pulled_tokens / self._rate(at, source)
        transfer_s = min(plan.lacking_tokens, chunk) / self._rate(decode, at) if plan.lacking_tokens else 0.0
        batch, attended = float(columns.running[decode]) + 1.0, float(columns.kv[decode]) + plan.tokens
        return PlanForecast(
            pull_s=pull_s,
            queue_s=max(0.0, queue_s - pull_s),
            prefill_s=prefill_s,
            first_token_s=plan.first_token_s,
            transfer_s=transfer_s,
            token_s=steps.at(decode, 0.0, 0.0, batch, attended),
        )

    def _prefill_s(self, at: int, missing: float, held: float, running: float, kv: float) -> float:
        """In whole steps and a rest."""
        chunk, steps = float(self._board.columns.step_tokens[at]), self._board.steps
        whole, rest = divmod(missing, chunk)
        rest_s = steps.at(at, rest, held, running, kv) if rest else 0.0
        return whole * steps.at(at, chunk, 0.0, running, kv) + rest_s

    def _planned(self, ask: Ask, able: Candidates, avoid: Avoid, *, pull: bool = True) -> list[RoutePlan]:
        if not np.count_nonzero(able.decodes):
            return []
        view, matched = self._view(ask, able), self._matched(ask, avoid)
        slack_s = min(ask.left_s, self.promised_s(ask))
        joint = JointAsk(ask.tokens, matched, ask.block_tokens, ask.seed, slack_s, self._slo.itl_s)
        found = [self._with_ways(one) for one in joint_plans(joint, view)]
        found.sort(key=lambda one: (one.first_token_s > slack_s, one.cost_s))
        blocks: list[int] = matched.tolist()
        return [self._route(ask, blocks, one, pull=pull) for one in found]

    def _with_ways(self, found: Placement) -> Placement:
        way_s = self._board.ways.seconds(remote=found.prefill is not None)
        first_token_s, cost_s = found.first_token_s + way_s, found.cost_s + way_s
        return Placement(found.decode, found.prefill, found.source, first_token_s, cost_s)

    def _view(self, ask: Ask, able: Candidates) -> ClusterView:
        board = self._board
        columns = board.columns
        output = min(board.expected_output, float(ask.left))
        return ClusterView(
            prefills=able.prefills,
            decodes=able.decodes,
            computes_local=able.local,
            queued_tokens=columns.queued,
            step_tokens=columns.step_tokens,
            running=columns.running,
            kv_tokens=columns.kv,
            free_tokens=able.room(columns, output),
            steps=board.steps,
            pulls=board.pulls,
            expected_output=output,
            waiting=ask.waiting,
        )

    def _matched(self, ask: Ask, avoid: Avoid) -> Counts:
        """Blocks of the prompt that each worker holds, [places]; nothing can be had from who is away, or
        failed this request before."""
        hits, columns = self._index.lookup(ask.keys).blocks, self._board.columns
        known = columns.usable & (columns.slot >= 0)
        if avoid:
            known &= ~self._board.marked(avoid)
        return np.where(known, hits[columns.slot], 0)

    def _is_open(self, plan: RoutePlan) -> bool:
        at, columns = self._place(plan.computes), self._board.columns
        queued, chunk = float(columns.queued[at]), float(columns.step_tokens[at])
        if queued <= chunk:
            return True
        chunk_s = self._board.steps.at(at, chunk, 0.0, float(columns.running[at]), float(columns.kv[at]))
        return queued / chunk * chunk_s <= NEWS_S

    def _place(self, identity: WorkerIdentity) -> int:
        place = self._board.place(identity)
        if place is None:
            raise KeyError(identity)
        return place

    def _rate(self, reader: int, source: int) -> float:
        return self._board.pulls.rate(reader, source)

    def _route(self, ask: Ask, matched: list[int], found: Placement, *, pull: bool) -> RoutePlan:
        at = found.decode if found.prefill is None else found.prefill
        source = found.source if pull else None
        own = min(matched[at] * ask.block_tokens, ask.tokens - 1)
        blocks = 0 if source is None else matched[source]
        held = max(own, min(blocks * ask.block_tokens, ask.tokens - 1))
        lacking = 0
        if found.prefill is not None:
            lacking = max(0, ask.tokens - matched[found.decode] * ask.block_tokens)
        return RoutePlan(
            decode=self._board.desk(found.decode).identity,
            prefill=None if found.prefill is None else self._board.desk(found.prefill).identity,
            source=None if source is None else self._board.desk(source).identity,
            source_blocks=blocks,
            held_tokens=held,
            pulled_tokens=held - own,
            lacking_tokens=lacking,
            tokens=ask.tokens,
            first_token_s=found.first_token_s,
            cost_s=found.cost_s,
        )
