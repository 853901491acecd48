"""One engine with its roles: mail in, steps, mail out. Passive, single-threaded, reads no clock."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from engine.engine import Engine
from engine.runner import Pending
from engine.step import Step, StepResult
from protocol.ids import WorkerIdentity
from protocol.kv_events import KvDumpWanted
from protocol.limits import Limits
from protocol.mail import Drain, EngineFacts, EngineInbox, EngineOutbox, Inbound, PeerLost
from protocol.messages import Hello, Poisonous
from worker.farewell import Farewell
from worker.poison_list import PoisonList
from worker.report_folding import fold_reports, only_more_tokens
from worker.reporter import Reporter
from worker.role import Role
from worker.steps_begun import StepsBegun

POLL_S = 0.001
SLOW_POLL_S = 0.02
CHECK_EVERY_S = 1.0
"""Adding up all blocks takes 0.1 ms per thousand: too much for every pause between two requests."""
TOGETHER_S = 0.002
"""Tokens of steps that are shorter leave together, within this time."""
EAGER_POLLS = 16
"""Polls of a transfer before it counts as slow."""


class WorkerCore:
    """What runs in the engine's thread. It knows its roles by their Protocol only."""

    def __init__(self, engine: Engine, roles: Seq[Role], identity: WorkerIdentity, limits: Limits) -> None:
        self._engine = engine
        self._roles = tuple(roles)
        self._identity = identity
        self._reporter = Reporter(engine, roles, identity, limits.report_every_s)
        self._outbox: list[EngineOutbox] = []
        self._held: list[EngineOutbox] = []
        """Tokens that wait for those of the step that has begun."""
        self._begun = StepsBegun(limits.report_every_s)
        self._farewell = Farewell()
        self._poison = PoisonList()
        self._idle_polls = 0
        self._now = 0.0
        """As last told."""
        self._checked_at = float("-inf")
        self._spoke_at = float("-inf")

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
        self._now = now
        self._idle_polls = 0 if batch else self._idle_polls
        for mail in batch:
            if isinstance(mail, PeerLost):
                self._reporter.forget(mail.peer)
                self._poison.forget(mail.peer)
                for role in self._roles:
                    role.peer_lost(mail.peer, now)
            elif isinstance(mail, Drain):
                self._farewell.begin()
            elif isinstance(mail, Inbound):
                self._receive(mail, now)

    def attend(self, now: float) -> None:
        """Moves transfers, and ends what is too late."""
        self._now = now
        for role in self._roles:
            role.before_plan(now)

    def plan(self, now: float) -> Step | None:
        """The next step, or None when there is nothing to compute."""
        self.attend(now)
        step = self._engine.plan()
        if step is not None:
            self._begun.begin(step, self._engine.predict_s(step))
        self._tell_begun()
        if step is None:
            self._outbox += self._farewell.words(self._engine)
        return step

    def launch(self, step: Step) -> Pending:
        """Starts the forward pass."""
        return self._engine.runner.launch(step)

    def commit(self, step: Step, result: StepResult, now: float) -> None:
        """Applies a step and lets the roles publish what it made."""
        self._now = now
        self._reporter.measure(step, result.seconds)
        self._begun.end()
        progress = self._engine.commit(step, result)
        for role in self._roles:
            role.after_commit(progress, now - result.seconds, now)
        self._engine.release_ended()

    def take_outbox(self) -> list[EngineOutbox]:
        """What is to be sent since the last call: one StepReport a gateway, tokens folded into it. Tokens may
        wait for those of a short step that has begun."""
        mail, self._outbox = self._outbox, []
        for role in self._roles:
            mail += role.take_outbox()
        mail += self._reporter.take(self._now, self._begun.predicted_s)
        if self._begun.briefer_than(TOGETHER_S - (self._now - self._spoke_at)) and only_more_tokens(mail):
            self._held += mail
            return []
        mail, self._held = self._held + mail, []
        if mail:
            self._spoke_at = self._now
        return fold_reports(mail)

    def idle_wait_s(self, now: float) -> float:
        """How long the loop may wait for mail when there is nothing to compute."""
        if any(role.busy() for role in self._roles):
            self._idle_polls += 1
            return POLL_S if self._idle_polls <= EAGER_POLLS else SLOW_POLL_S
        return max(POLL_S, self._reporter.wait_s(now))

    def check(self) -> None:
        """Raises EngineFailed if blocks do not add up. Looks once a second at most."""
        if self._now - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = self._now
            self._engine.check()

    def close(self) -> None:
        """Lets the roles close what they opened."""
        for role in self._roles:
            role.close()

    def _receive(self, mail: Inbound, now: float) -> None:
        if isinstance(mail.frame, Hello):
            if mail.frame.role == "gateway":
                self._reporter.welcome(mail.peer)
                self._outbox += self._poison.welcome(mail.peer, now)
            return
        if isinstance(mail.frame, Poisonous):
            self._outbox += self._poison.hear(mail.frame, mail.peer, now)
            return
        if isinstance(mail.frame, KvDumpWanted):
            self._reporter.wanted(mail.frame, mail.peer)
            return
        refusal = self._farewell.refusal(mail)
        if refusal is not None:
            self._outbox.append(refusal)
            return
        for role in self._roles:
            role.receive(mail, now)

    def _tell_begun(self) -> None:
        """Who outlives this engine has to know what it was computing, and how long that may take."""
        news = self._begun.news()
        if news is not None:
            self._outbox.append(news)
            if news.predicted_s:
                self._reporter.urge()
