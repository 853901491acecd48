"""When a worker speaks of itself to its gateways: its load, and which KV it holds."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from engine.engine import Engine
from engine.step import Step
from protocol.ids import WorkerIdentity
from protocol.kv_events import KvDumpWanted
from protocol.load_report import OwnLoad
from protocol.mail import Outbound, PeerId
from protocol.messages import StepReport
from worker.kv_teller import KvTeller
from worker.load_meter import LoadMeter
from worker.role import Role

MIN_REPORT_GAP_S = 0.05
SOON_GAP_S = 0.01
"""Other gateways see within this time that an attempt came or went."""


class Reporter:
    """Every `every_s` when idle, every MIN_REPORT_GAP_S while steps run, soon when attempts come or go, at
    once when urged; never twice in one outbox."""

    def __init__(self, engine: Engine, roles: Seq[Role], identity: WorkerIdentity, every_s: float) -> None:
        self._roles = tuple(roles)
        self._identity = identity
        self._every_s = every_s
        self._meter = LoadMeter(engine, roles)
        self._teller = KvTeller(engine.pool, identity)
        self._gateways: dict[PeerId, None] = {}
        self._at = float("-inf")
        self._sampled_at = float("-inf")
        self._gap_s = every_s
        """From the last report to the next."""
        self._turnover = 0

    def welcome(self, peer: PeerId) -> None:
        """A gateway is linked."""
        self._gateways[peer] = None
        self._teller.begin(peer)
        self.urge()

    def forget(self, peer: PeerId) -> None:
        """A link is gone."""
        self._gateways.pop(peer, None)
        self._teller.end(peer)

    def wanted(self, frame: KvDumpWanted, peer: PeerId) -> None:
        """A gateway has missed something. One that asks for another life of this worker is ignored."""
        if frame.identity == self._identity and peer in self._gateways:
            self._teller.begin(peer)

    def measure(self, step: Step, seconds: float) -> None:
        """A step is over."""
        self._meter.measure(step, seconds)
        self._gap_s = min(self._gap_s, MIN_REPORT_GAP_S)

    def urge(self) -> None:
        """Something is to be told with the next outbox."""
        self._gap_s = 0.0

    def take(self, now: float, begun_s: float) -> list[Outbound]:
        """What is due now."""
        turnover = sum([role.turnover() for role in self._roles])
        if turnover != self._turnover:
            self._turnover = turnover
            self._gap_s = min(self._gap_s, SOON_GAP_S)
        due = now - self._at >= self._gap_s
        mail: list[Outbound] = self._reports(now, begun_s) if due else []
        if due or self._teller.dumping:
            mail += self._teller.take()
        return mail

    def wait_s(self, now: float) -> float:
        """Seconds until something is due."""
        return 0.0 if self._teller.dumping else self._at + self._gap_s - now

    def _reports(self, now: float, begun_s: float) -> list[Outbound]:
        self._at = now
        self._gap_s = self._every_s
        samples = now - self._sampled_at >= MIN_REPORT_GAP_S
        self._sampled_at = now if samples else self._sampled_at
        load, own = self._meter.read(begun_s, samples)
        nothing = OwnLoad(0, 0)
        return [Outbound(peer, StepReport((), load, own.get(peer, nothing))) for peer in self._gateways]
