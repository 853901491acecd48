"""A tiny core for tests of hosts: every frame comes back to its peer, one step for all that came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.runner import Pending
from engine.step import Step, StepResult
from protocol.codec import frame_codec
from protocol.errors import UnsupportedModel
from protocol.ids import AttemptKey, Incarnation, RequestId, TransferId, WorkerId, WorkerIdentity
from protocol.limits import Limits
from protocol.mail import (
    Begun,
    Dial,
    Drain,
    Drained,
    EngineFacts,
    EngineInbox,
    EngineNews,
    EngineOutbox,
    Inbound,
    Outbound,
    PeerId,
    PeerLost,
    Sealed,
)
from protocol.messages import Attach, Cancel, Frame, Hello, Release, Renew, WorkerAddress
from worker.step_core import CoreFactory

LIMITS = Limits(max_frame_bytes=1 << 16, max_link_backlog=64, report_every_s=0.05)
CODEC = frame_codec(LIMITS.max_frame_bytes)
WORKER = WorkerIdentity(WorkerId("echo-0"), Incarnation("life-1"))
OTHER = WorkerIdentity(WorkerId("echo-1"), Incarnation("life-1"))


@dataclass(frozen=True, slots=True)
class EchoPending:
    """A step that takes as long as it was told to."""

    seconds: float

    def result(self) -> StepResult:
        """Nothing was drawn."""
        return StepResult((), self.seconds)


class EchoCore:
    """Frames of dialled links are kept, not echoed. Some frames steer it: see below the class."""

    def __init__(
        self,
        model: str = "echo",
        identity: WorkerIdentity = WORKER,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._identity = identity
        self._model = model
        self._on_commit = on_commit
        self._frames: list[Inbound] = []
        self._echoes: list[Inbound] = []
        self._outbox: list[EngineOutbox] = []
        self._last_dialled = 0
        self.predicted_s: float | None = None
        """Said of every step before it starts; None leaves it unsaid."""
        self.drains = False
        """Whether it says that nothing is left when it is asked to drain."""
        self.mail: list[EngineInbox] = []
        self.checks = 0
        self.closed = 0

    @property
    def lookahead(self) -> int:
        """One step at a time."""
        return 0

    def deliver(self, batch: list[EngineInbox], now: float) -> None:
        """Keeps frames for the next step."""
        self.mail += batch
        for mail in batch:
            if isinstance(mail, PeerLost):
                self._frames = [held for held in self._frames if held.peer != mail.peer]
            elif isinstance(mail, Drain) and self.drains:
                self._outbox.append(Drained())
            elif isinstance(mail, Inbound) and mail.frame == PING:
                self._outbox.append(Outbound(mail.peer, PING))
            elif isinstance(mail, Inbound) and mail.peer > 0 and not isinstance(mail.frame, Hello):
                self._frames.append(mail)

    def attend(self, now: float) -> None:
        """Nothing goes on beside steps."""

    def plan(self, now: float) -> Step | None:
        """One step for everything that came."""
        self._echoes, self._frames = self._frames, []
        if any(mail.frame == CRASH for mail in self._echoes):
            raise RuntimeError("asked to crash")
        if self._echoes and self.predicted_s is not None:
            keys = tuple(mail.frame.key for mail in self._echoes if isinstance(mail.frame, Cancel))
            self._outbox.append(Begun(keys, self.predicted_s))
        return Step(()) if self._echoes else None

    def launch(self, step: Step) -> Pending:
        """As long as the `work` frames say."""
        frames = [mail.frame for mail in self._echoes]
        worked = [frame.key.attempt for frame in frames if isinstance(frame, Cancel)]
        return EchoPending(sum(worked) / 1000)

    def commit(self, step: Step, result: StepResult, now: float) -> None:
        """Sends everything back."""
        for mail in self._echoes:
            if isinstance(mail.frame, Attach):
                self._dial(mail.frame)
            answer = frame(0, size=2 * LIMITS.max_frame_bytes) if mail.frame == GROW else mail.frame
            self._outbox.append(Outbound(mail.peer, answer))
        self._on_commit()

    def take_outbox(self) -> list[EngineOutbox]:
        """The echoes."""
        taken, self._outbox = self._outbox, []
        return taken

    def idle_wait_s(self, now: float) -> float:
        """As long as signs of life allow."""
        return LIMITS.report_every_s

    def facts(self) -> EngineFacts:
        """Made up."""
        return EngineFacts(self._identity, self._model, "float32", 128, 100, 16, 1024, 8, "fingerprint")

    def check(self) -> None:
        """Counts how often it was asked."""
        self.checks += 1

    def close(self) -> None:
        """Counts how often it was closed."""
        self.closed += 1

    def _dial(self, attach: Attach) -> None:
        self._last_dialled -= 1
        peer = PeerId(self._last_dialled)
        address = WorkerAddress(attach.reader, "127.0.0.1", attach.first_block)
        self._outbox += [Dial(peer, address), Outbound(peer, DIALLED)]


CRASH = Cancel(AttemptKey(RequestId("crash"), 0))
"""The next plan raises."""
PING = Renew(())
"""Answered without a step."""
DIALLED = Release(TransferId("dialled"))
GROW = Renew((TransferId("grow"),))
"""Answered by a frame that no link can carry."""


def work(milliseconds: int) -> Frame:
    """A frame whose step takes that long."""
    return Cancel(AttemptKey(RequestId("work"), milliseconds))


def dial(port: int, to: WorkerIdentity = OTHER) -> Frame:
    """A frame that makes the core dial `to`, under -1, -2, ..., and send it `DIALLED`."""
    return Attach(TransferId("t"), to, "fingerprint", port)


def frame(number: int, size: int = 0) -> Frame:
    """A frame that differs from others, of at least `size` bytes."""
    return Release(TransferId(f"{number}-{'x' * size}"))


def echo_factory(mode: str) -> CoreFactory:
    """A core that works ("echo"), or a load that fails."""

    def load() -> EchoCore:
        if mode == "unsupported":
            raise UnsupportedModel("layer 3 does not use the attention hook")
        if mode == "broken":
            raise RuntimeError("no such file")
        return EchoCore()

    return load


def frames_of(batch: Sequence[EngineNews], peer: int) -> list[Frame]:
    """What a batch holds for one peer, sealed or not."""
    mine = [mail for mail in batch if isinstance(mail, (Outbound, Sealed)) and mail.peer == peer]
    return [CODEC.decode(one.frame) if isinstance(one, Sealed) else one.frame for one in mine]
