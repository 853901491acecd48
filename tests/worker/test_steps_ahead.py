"""Hosts keep a device busy: a step is launched while another is in flight, and none is ever lost."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from engine.step import Step, StepResult
from protocol.clock import LoopClock
from protocol.errors import EngineFailed, WorkerLost
from protocol.mail import EngineInbox, Inbound, PeerId, inbox_codec
from protocol.splitter import framed
from protocol.virtual_loop import run_virtual
from tests.worker.echo_core import LIMITS, PING, EchoCore
from worker.inline_host import InlineHost
from worker.launched_steps import AHEAD_S
from worker.mail_pipe import MailPipe
from worker.step_loop import StepLoop

STEP_S = 0.25


@dataclass(frozen=True, slots=True)
class CountedPending:
    """A step that lasts STEP_S, or fails when it is waited for."""

    fails: bool
    seconds: float = STEP_S

    def result(self) -> StepResult:
        """Nothing was drawn."""
        if self.fails:
            raise EngineFailed("the device is gone")
        return StepResult((), STEP_S)


class CountingCore(EchoCore):
    """Plans `steps` steps, then nothing; notes what it is told to do."""

    def __init__(self, steps: int, lookahead: int, fails: int = 0) -> None:
        super().__init__()
        self.told: list[str] = []
        self.times: list[float] = []
        self.planned_at: list[float] = []
        self.on_told: Callable[[str], None] = lambda what: None
        self._steps = steps
        self._lookahead = lookahead
        self._fails = fails
        self._planned: list[Step] = []
        self._committed = 0

    @property
    def lookahead(self) -> int:
        """As the test says."""
        return self._lookahead

    def deliver(self, batch: list[EngineInbox], now: float) -> None:
        """As ever, and tells of it."""
        super().deliver(batch, now)
        if batch:
            self.on_told("mail")

    def plan(self, now: float) -> Step | None:
        """The next step, a new object each."""
        if len(self._planned) == self._steps:
            return None
        self._planned.append(Step(()))
        self._tell(f"plan {len(self._planned)}")
        self.planned_at.append(now)
        return self._planned[-1]

    def launch(self, step: Step) -> CountedPending:
        """Starts the newest."""
        assert step is self._planned[-1]
        self._tell(f"launch {len(self._planned)}")
        return CountedPending(len(self._planned) == self._fails)

    def commit(self, step: Step, result: StepResult, now: float) -> None:
        """Ends the oldest."""
        assert step is self._planned[self._committed]
        self._committed += 1
        self.times.append(now)
        self._tell(f"commit {self._committed}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.on_told(what)


AHEAD = [
    *("plan 1", "launch 1", "plan 2", "launch 2", "commit 1"),
    *("plan 3", "launch 3", "commit 2", "commit 3"),
]
ONE_BY_ONE = [f"{verb} {step}" for step in (1, 2, 3) for verb in ("plan", "launch", "commit")]


def inline(core: CountingCore, seconds: float) -> None:
    """The core in an inline host for a while, then an orderly stop."""

    async def live() -> None:
        clock = LoopClock()
        host = InlineHost(lambda: core, clock, LIMITS)
        await host.start(1.0)
        await clock.sleep(seconds)
        await host.stop(10.0)
        with pytest.raises(WorkerLost):
            while True:
                await host.receive()

    run_virtual(live())


def in_thread(core: CountingCore, last: str) -> None:
    """The core in a process's loop, stopped as soon as it is told `last`."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop = StepLoop(core, MailPipe(theirs, LIMITS), LIMITS)
        core.on_told = lambda what: loop.stop() if what == last else None
        loop.run()


@pytest.mark.parametrize(("lookahead", "told"), [(0, ONE_BY_ONE), (1, AHEAD)])
def test_the_next_step_is_launched_before_the_last_one_is_over(lookahead: int, told: list[str]) -> None:
    """With a lookahead of 1 two steps are in flight whenever there is work; without, always one."""
    core = CountingCore(3, lookahead)
    inline(core, 2.0)
    assert core.told == told
    core = CountingCore(3, lookahead)
    in_thread(core, "commit 3")
    assert core.told == told


@pytest.mark.parametrize("lookahead", [0, 1])
def test_steps_of_one_device_follow_one_another(lookahead: int) -> None:
    """However early a step is launched, it begins when the one before it is over."""
    core = CountingCore(4, lookahead)
    inline(core, 2.0)
    assert core.times == pytest.approx([STEP_S, 2 * STEP_S, 3 * STEP_S, 4 * STEP_S])


def test_a_step_is_planned_just_before_the_one_on_the_device_ends() -> None:
    """Whatever comes while a step lasts has a place in the very next one."""
    core = CountingCore(3, 1)
    inline(core, 2.0)
    assert core.planned_at == pytest.approx([0.0, STEP_S - AHEAD_S, 2 * STEP_S - AHEAD_S])
    core = CountingCore(2, 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop = StepLoop(core, MailPipe(theirs, LIMITS), LIMITS)

        def hear(what: str) -> None:
            if what == "launch 1":
                ours.sendall(framed(inbox_codec(1 << 16).encode([Inbound(PeerId(1), PING)])))
            elif what == "mail":
                core.told.append(what)
            elif what == "commit 2":
                loop.stop()

        core.on_told = hear
        loop.run()
    assert core.told[:5] == ["plan 1", "launch 1", "mail", "plan 2", "launch 2"]


def test_a_stop_waits_for_every_step_in_flight() -> None:
    """What was launched is committed before the engine ends; nothing more is planned."""
    core = CountingCore(9, 1)
    inline(core, STEP_S - 0.001)
    assert core.told == [*AHEAD[:5], "commit 2"]
    core = CountingCore(9, 1)
    in_thread(core, "commit 1")
    assert core.told == [*AHEAD[:5], "commit 2"]


def test_a_failed_step_does_not_take_the_one_before_it_along() -> None:
    """The step before a failed one is committed first, although both were in flight."""
    core = CountingCore(9, 1, fails=2)
    inline(core, 2.0)
    assert core.told == [*AHEAD[:5], "plan 3", "launch 3"]


@pytest.mark.parametrize(("lookahead", "answered"), [(0, ["commit 1", "mail"]), (1, ["mail", "commit 1"])])
def test_mail_is_answered_while_a_device_computes(lookahead: int, answered: list[str]) -> None:
    """A modelled step that stands for one on a device leaves the thread free; one on a CPU keeps it."""
    core, told = CountingCore(1, lookahead), []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop = StepLoop(core, MailPipe(theirs, LIMITS), LIMITS)

        def hear(what: str) -> None:
            told.append(what)
            if what == "launch 1":
                ours.sendall(framed(inbox_codec(1 << 16).encode([Inbound(PeerId(1), PING)])))
            elif what == "mail":
                loop.stop()

        core.on_told = hear
        loop.run()
    assert [what for what in told if what in answered] == answered
