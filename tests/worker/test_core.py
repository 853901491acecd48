"""The worker core: mail to the roles, steps through the engine, one report a gateway and step."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import pytest

from engine.engine import Engine
from engine.owner import Owner
from engine.step import Step
from engine.step_hook import Progress
from protocol.errors import EngineFailed
from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import EngineOutbox, Inbound, Outbound, PeerId, PeerLost
from protocol.messages import (
    WIRE_VERSION,
    Cancel,
    Hello,
    StepReport,
    TokenDelta,
)
from tests.engine.modelled import admitted, assignment, modelled_engine
from worker.core import POLL_S, SLOW_POLL_S, WorkerCore
from worker.reporter import MIN_REPORT_GAP_S
from worker.role_load import RoleLoad
from worker.warm_up import warm_up

LIMITS = Limits()
IDENTITY = WorkerIdentity(WorkerId("w"), Incarnation("i"))
GATEWAY, OTHER = PeerId(1), PeerId(2)
CANCEL = Cancel(AttemptKey(RequestId("r"), 0))


class Script:
    """A role that notes what it is told, and says one token delta a step."""

    def __init__(self, engine: Engine) -> None:
        self.told: list[str] = []
        self.moving = False
        self.came_or_went = 0
        self.said = RoleLoad()
        self.held_at_commit = -1
        self.began = 0.0
        self._engine = engine
        self._outbox: list[EngineOutbox] = []

    def receive(self, mail: Inbound, now: float) -> None:
        """Notes it."""
        self.told.append(f"{type(mail.frame).__name__} from {mail.peer} at {now}")

    def peer_lost(self, peer: PeerId, now: float) -> None:
        """Notes it."""
        self.told.append(f"lost {peer} at {now}")

    def before_plan(self, now: float) -> None:
        """Notes it."""
        self.told.append(f"plan at {now}")

    def after_commit(self, progress: Seq[Progress], began: float, now: float) -> None:
        """Sends a delta for each token, and looks at what ended sequences still hold."""
        self.told.append(f"commit at {now}")
        self.began = began
        for one in progress:
            if one.sampled is not None:
                delta = TokenDelta(one.sequence.key, one.sequence.generated - 1, (one.sampled.token,))
                self._outbox.append(Outbound(GATEWAY, StepReport((delta,))))
            self.held_at_commit = len(self._engine.pool.held_by(Owner.request(one.sequence.key)))

    def take_outbox(self) -> list[EngineOutbox]:
        """Everything since the last call."""
        mail, self._outbox = self._outbox, []
        return mail

    def counters(self) -> tuple[tuple[str, int], ...]:
        """How much it was told."""
        return (("told", len(self.told)),)

    def load(self) -> RoleLoad:
        """As the test says."""
        return self.said

    def turnover(self) -> int:
        """As the test says."""
        return self.came_or_went

    def busy(self) -> bool:
        """As the test says."""
        return self.moving

    def close(self) -> None:
        """Notes it."""
        self.told.append("close")


class Bench:
    """A core with one scripted role and a small engine."""

    def __init__(self, blocks: int = 20, lookahead: int = 0) -> None:
        self.engine = modelled_engine(blocks, lookahead=lookahead)
        self.role = Script(self.engine)
        self.core = WorkerCore(self.engine, [self.role], IDENTITY, LIMITS)

    def hello(self, peer: PeerId, role: str = "gateway", now: float = 0.0) -> None:
        """A peer says who it is."""
        self.core.deliver([Inbound(peer, Hello(WIRE_VERSION, role, "name", ""))], now)

    def turn(self, now: float) -> Step | None:
        """Plan, and if there is something to compute launch and commit it at the same instant."""
        step = self.core.plan(now)
        if step is not None:
            self.core.commit(step, self.core.launch(step).result(), now)
        return step

    def reports(self) -> dict[PeerId, StepReport]:
        """The reports in the outbox, by peer; fails if a peer gets two."""
        mail = [one for one in self.core.take_outbox() if isinstance(one, Outbound)]
        found = [(one.peer, one.frame) for one in mail if isinstance(one.frame, StepReport)]
        assert len(dict(found)) == len(found)
        return dict(found)


def test_mail_reaches_the_role_in_order() -> None:
    """Frames and lost links are told in the order in which they came; a Hello is the core's own."""
    bench = Bench()
    bench.hello(GATEWAY)
    bench.core.deliver([Inbound(GATEWAY, CANCEL), PeerLost(GATEWAY), Inbound(OTHER, CANCEL)], 1.5)
    assert bench.role.told == ["Cancel from 1 at 1.5", "lost 1 at 1.5", "Cancel from 2 at 1.5"]


def test_role_acts_before_plan_and_after_commit() -> None:
    """The role moves what is due before each plan, and sees what a step did while ended sequences
    still hold their blocks; afterwards nothing holds them."""
    bench = Bench()
    admitted(bench.engine, assignment("r", (1, 2, 3, 4, 5), 1))
    assert bench.turn(2.0) is not None
    assert bench.role.told == ["plan at 2.0", "commit at 2.0"]
    assert bench.role.held_at_commit == 2
    assert bench.engine.pool.available == 20
    assert bench.turn(3.0) is None
    bench.core.check()


def test_the_role_hears_when_a_step_began() -> None:
    """Whatever was done beside it, a step began as long ago as it took."""
    bench = Bench()
    admitted(bench.engine, assignment("r", (1, 2, 3, 4, 5), 1))
    step = bench.core.plan(2.0)
    assert step is not None
    result = bench.core.launch(step).result()
    bench.core.attend(2.5)
    bench.core.commit(step, result, 3.0)
    assert bench.role.told == ["plan at 2.0", "plan at 2.5", "commit at 3.0"]
    assert bench.role.began == 3.0 - result.seconds


def test_a_gateway_gets_one_report_a_step_with_all_its_tokens() -> None:
    """Tokens of all sequences and the load travel in one frame, tokens in batch order."""
    bench = Bench()
    bench.hello(GATEWAY)
    bench.core.take_outbox()
    for name in "abc":
        admitted(bench.engine, assignment(name, (1, 2, 3), 5))
    assert bench.turn(1.0) is not None
    report = bench.reports()[GATEWAY]
    assert [delta.key.request for delta in report.deltas] == ["a", "b", "c"]
    assert report.load is not None
    assert report.load.running == 3


def test_a_new_gateway_is_told_the_load_at_once() -> None:
    """Its first report does not wait for the next step; a worker that says Hello gets none."""
    bench = Bench()
    bench.hello(OTHER, "worker")
    assert bench.reports() == {}
    bench.hello(GATEWAY)
    report = bench.reports()[GATEWAY]
    assert report.deltas == ()
    assert report.load is not None


def test_a_lost_gateway_gets_no_more_reports() -> None:
    """Nothing is addressed to a link that is gone; the others still hear."""
    bench = Bench()
    bench.hello(GATEWAY)
    bench.hello(OTHER)
    assert list(bench.reports()) == [GATEWAY, OTHER]
    bench.core.deliver([PeerLost(GATEWAY)], 1.0)
    bench.core.plan(10.0)
    assert list(bench.reports()) == [OTHER]


def test_an_idle_worker_reports_as_often_as_the_limits_say() -> None:
    """Silence means death, so an idle worker speaks every report_every_s, and may sleep until then."""
    bench = Bench()
    bench.hello(GATEWAY, now=5.0)
    bench.core.take_outbox()
    every = LIMITS.report_every_s
    assert bench.core.idle_wait_s(5.0) == pytest.approx(every)
    bench.core.plan(5.0 + every * 0.9)
    assert bench.reports() == {}
    bench.core.plan(5.0 + every)
    assert list(bench.reports()) == [GATEWAY]
    assert bench.core.idle_wait_s(5.0 + every * 1.5) == pytest.approx(every / 2)
    assert bench.core.idle_wait_s(5.0 + every * 9) == POLL_S, "never zero, or else the loop would spin"


def test_load_is_counted_rarely_while_tokens_flow() -> None:
    """Tokens go out at every step; counting blocks by owner is not free, so the load goes every 50 ms."""
    bench = Bench()
    warm_up(bench.engine)
    bench.hello(GATEWAY, now=0.0)
    bench.core.take_outbox()
    admitted(bench.engine, assignment("r", (1, 2, 3), 9))
    loads = []
    for number in range(1, 5):
        assert bench.turn(number * MIN_REPORT_GAP_S * 0.6) is not None
        report = bench.reports()[GATEWAY]
        assert len(report.deltas) == 1
        loads.append(report.load is not None)
    assert loads == [False, True, False, True]


def test_a_moving_transfer_is_polled_soon_and_a_slow_one_less_often() -> None:
    """While something moves without steps the loop comes back at once; mail makes it eager again."""
    bench = Bench()
    bench.role.moving = True
    waits = [bench.core.idle_wait_s(0.0) for _ in range(40)]
    assert (waits[0], waits[-1]) == (POLL_S, SLOW_POLL_S)
    assert waits == sorted(waits)
    bench.core.deliver([Inbound(OTHER, CANCEL)], 0.0)
    assert bench.core.idle_wait_s(0.0) == POLL_S


def test_facts_are_those_of_the_runner() -> None:
    """What others are told of this engine is what it runs."""
    bench = Bench(blocks=6)
    facts, served = bench.core.facts(), bench.engine.runner.facts
    assert facts.identity == IDENTITY
    assert (facts.total_blocks, facts.block_size, facts.block_bytes) == (6, 4, 32)
    assert (facts.model, facts.fingerprint, facts.vocabulary, facts.max_context, facts.dtype) == (
        served.model,
        served.fingerprint,
        served.vocabulary,
        served.max_context,
        served.dtype,
    )


def test_check_and_close_reach_engine_and_roles() -> None:
    """A block that is lost raises, a second later at most; closing lets each role close what it opened."""
    bench = Bench()
    bench.core.plan(0.0)
    bench.core.check()
    bench.engine.pool._refs[0] += 1
    bench.core.plan(1.0)
    with pytest.raises(EngineFailed):
        bench.core.check()
    bench.core.close()
    assert bench.role.told[-1] == "close"
