"""One engine with its roles: mail in, steps, mail out. Passive, single-threaded, reads no clock."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from engine.engine import Engine
from engine.runner import Pending
from engine.step import Step, StepResult
from protocol.ids import WorkerIdentity
from protocol.limits import Limits
from protocol.load_report import LoadReport
from protocol.mail import Drain, EngineFacts, EngineInbox, EngineOutbox, Inbound, Outbound, PeerId, PeerLost
from protocol.messages import Hello, StepReport, TokenDelta
from worker.farewell import Farewell
from worker.role import Role
from worker.steps_begun import StepsBegun

MIN_REPORT_GAP_S = 0.05
RATE_WEIGHT = 0.2
RATE_MIN_TOKENS = 16
"""Steps with fewer prompt tokens say nothing about prefill speed."""
POLL_S = 0.001
SLOW_POLL_S = 0.02
CHECK_EVERY_S = 1.0
"""Adding up all blocks takes 0.1 ms per thousand: too much for every pause between two requests."""
EAGER_POLLS = 16
"""Polls of a transfer before it counts as slow."""


class WorkerCore:
    """What runs in the engine's thread. It knows its roles by their Protocol only."""

    def __init__(self, engine: Engine, roles: Seq[Role], identity: WorkerIdentity, limits: Limits) -> None:
        self._engine = engine
        self._roles = tuple(roles)
        self._identity = identity
        self._limits = limits
        self._gateways: dict[PeerId, None] = {}
        self._outbox: list[EngineOutbox] = []
        self._reported_at = float("-inf")
        self._begun = StepsBegun(limits.report_every_s)
        self._farewell = Farewell()
        self._steps = 0
        self._tokens_per_s = 0.0
        self._idle_polls = 0
        self._planned_at = 0.0
        self._checked_at = float("-inf")

    @property
    def lookahead(self) -> int:
        """As far as the runner can."""
        return self._engine.runner.facts.lookahead

    def facts(self) -> EngineFacts:
        """What this engine serves."""
        runner = self._engine.runner
        facts = runner.facts
        return EngineFacts(
            identity=self._identity,
            model=facts.model,
            dtype=facts.dtype,
            max_context=facts.max_context,
            vocabulary=facts.vocabulary,
            block_size=facts.block_size,
            block_bytes=runner.arena.block_bytes,
            total_blocks=runner.arena.num_blocks,
            fingerprint=facts.fingerprint,
        )

    def deliver(self, batch: Seq[EngineInbox], now: float) -> None:
        """Hands mail to the roles. Between steps only."""
        self._idle_polls = 0 if batch else self._idle_polls
        for mail in batch:
            if isinstance(mail, PeerLost):
                self._gateways.pop(mail.peer, None)
                for role in self._roles:
                    role.peer_lost(mail.peer, now)
            elif isinstance(mail, Drain):
                self._farewell.begin()
            elif isinstance(mail, Inbound):
                self._receive(mail, now)

    def plan(self, now: float) -> Step | None:
        """The next step, or None when there is nothing to compute."""
        self._planned_at = now
        for role in self._roles:
            role.before_plan(now)
        step = self._engine.plan()
        if step is not None:
            self._begun.begin(step, self._engine.predict_s(step))
        self._tell_begun(now)
        if step is None:
            self._outbox += self._farewell.words(self._engine)
        if step is None and now - self._reported_at >= self._limits.report_every_s:
            self._report((), now)
        return step

    def launch(self, step: Step) -> Pending:
        """Starts the forward pass."""
        return self._engine.runner.launch(step)

    def commit(self, step: Step, result: StepResult, now: float) -> None:
        """Applies a step and lets the roles publish what it made."""
        self._measure(step, result)
        self._begun.end()
        progress = self._engine.commit(step, result)
        for role in self._roles:
            role.after_commit(progress, now)
        self._engine.release_ended()
        self._report((), now)

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call: one StepReport a gateway, tokens folded into it."""
        mail = self._outbox
        for role in self._roles:
            mail.extend(role.take_outbox())
        self._outbox = []
        return fold_reports(mail)

    def idle_wait_s(self, now: float) -> float:
        """How long the loop may wait for mail when there is nothing to compute."""
        if any(role.busy() for role in self._roles):
            self._idle_polls += 1
            return POLL_S if self._idle_polls <= EAGER_POLLS else SLOW_POLL_S
        return max(POLL_S, self._reported_at + self._limits.report_every_s - now)

    def check(self) -> None:
        """Raises EngineFailed if blocks do not add up. Looks once a second at most."""
        if self._planned_at - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = self._planned_at
            self._engine.check()

    def close(self) -> None:
        """Lets the roles close what they opened."""
        for role in self._roles:
            role.close()

    def load(self) -> LoadReport:
        """What this worker has to do now."""
        engine = self._engine
        counts = engine.pool.counts()
        pending = [*engine.running, *engine.waiting]
        return LoadReport(
            running=len(engine.running),
            waiting=len(engine.waiting),
            queued_tokens=sum(s.uncomputed for s in pending if s.uncomputed > 1),
            total_blocks=engine.pool.total,
            free_blocks=engine.pool.available,
            held_blocks=tuple((kind.value, count) for kind, count in counts.items()),
            steps=self._steps,
            step_s=self._engine.step_s,
            prefill_tokens_per_s=self._tokens_per_s,
            counters=tuple(pair for role in self._roles for pair in role.counters()),
            begun_s=self._begun.predicted_s,
        )

    def _receive(self, mail: Inbound, now: float) -> None:
        if isinstance(mail.frame, Hello):
            if mail.frame.role == "gateway":
                self._gateways[mail.peer] = None
                self._report((), now, soon=True)
            return
        refusal = self._farewell.refusal(mail)
        if refusal is not None:
            self._outbox.append(refusal)
            return
        for role in self._roles:
            role.receive(mail, now)

    def _tell_begun(self, now: float) -> None:
        """Who outlives this engine has to know what it was computing, and how long that may take."""
        news = self._begun.news()
        if news is not None:
            self._outbox.append(news)
            if news.predicted_s:
                self._report((), now, soon=True)

    def _measure(self, step: Step, result: StepResult) -> None:
        self._steps += 1
        tokens = sum(len(piece.tokens) for piece in step.slices if len(piece.tokens) > 1)
        if tokens >= RATE_MIN_TOKENS and result.seconds > 0:
            rate = tokens / result.seconds
            known = self._tokens_per_s or rate
            self._tokens_per_s = known + RATE_WEIGHT * (rate - known)

    def _report(self, deltas: tuple[TokenDelta, ...], now: float, *, soon: bool = False) -> None:
        if not soon and now - self._reported_at < MIN_REPORT_GAP_S:
            return
        self._reported_at = now
        load = self.load()
        self._outbox.extend(Outbound(peer, StepReport(deltas, load)) for peer in self._gateways)


def fold_reports(mail: Seq[EngineOutbox]) -> list[EngineOutbox]:
    """Joins all StepReports to one peer into one frame, at the place of the last."""
    if sum(isinstance(item, Outbound) and isinstance(item.frame, StepReport) for item in mail) < 2:
        return list(mail)
    last: dict[PeerId, int] = {}
    deltas: dict[PeerId, tuple[TokenDelta, ...]] = {}
    loads: dict[PeerId, LoadReport] = {}
    for place, item in enumerate(mail):
        if isinstance(item, Outbound) and isinstance(item.frame, StepReport):
            last[item.peer] = place
            deltas[item.peer] = deltas.get(item.peer, ()) + item.frame.deltas
            if item.frame.load is not None:
                loads[item.peer] = item.frame.load
    folded: list[EngineOutbox] = []
    for place, item in enumerate(mail):
        if not (isinstance(item, Outbound) and isinstance(item.frame, StepReport)):
            folded.append(item)
        elif last[item.peer] == place:
            report = StepReport(deltas[item.peer], loads.get(item.peer))
            folded.append(Outbound(item.peer, report))
    return folded
