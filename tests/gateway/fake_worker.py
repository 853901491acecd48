"""A worker behind a fake link: well-behaved by default, wrong where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import msgspec

from protocol.clock import LoopClock
from protocol.errors import LinkClosed
from protocol.ids import AttemptKey, Incarnation, WorkerId, WorkerIdentity
from protocol.kv_events import Cleared, KvEvent, KvEvents
from protocol.load_report import LoadReport, OwnLoad
from protocol.messages import (
    WIRE_VERSION,
    Admitted,
    Cancel,
    Compute,
    Failed,
    FinishReason,
    Frame,
    Hello,
    Join,
    Prefill,
    Refused,
    Reserve,
    StepReport,
    TokenDelta,
    WorkerAddress,
    WorkerRecord,
)
from protocol.request import Assignment
from protocol.stamp import Phase, Stamp

FIRST_TOKEN = 1000
ANSWER_S = 0.01
"""What every answer of a fake worker takes."""
SIGN_OF_LIFE_S = 0.25

NOTHING = OwnLoad(0, 0)
Opening = Compute | Reserve | Prefill


def token_at(position: int) -> int:
    """What every fake worker says at a position: any gap or repeat shows."""
    return FIRST_TOKEN + position


def record_of(name: str, role: str, life: str = "1", total_blocks: int = 1000) -> WorkerRecord:
    """A line of the directory."""
    address = WorkerAddress(WorkerIdentity(WorkerId(name), Incarnation(f"{name}.{life}")), "fake", 1)
    return WorkerRecord(address, role, "fake", 4096, total_blocks, 16, "fake-1")


def load_of(free_blocks: int = 1000, queued_tokens: int = 0, running: int = 0) -> LoadReport:
    """What a worker says of itself."""
    return LoadReport(running, 0, queued_tokens, 1000, free_blocks, (), 1, 0.01, 1000.0)


class FakeLink:
    """The gateway's end; the worker's end is the object itself."""

    def __init__(self, worker: FakeWorker) -> None:
        identity = worker.record.address.identity
        self.peer = Hello(WIRE_VERSION, "worker", identity.worker, identity.incarnation)
        self._worker = worker
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.closed = False
        self.fault: Exception | None = None
        """Raised instead of whatever should be received or sent."""
        self.deaf_to: type[Frame] | None = None
        """Sending one of these raises ValueError."""

    def send(self, frame: Frame | msgspec.Raw) -> None:
        """To the worker, at once."""
        if self.fault is not None:
            raise self.fault
        if self.deaf_to is not None and isinstance(frame, self.deaf_to):
            raise ValueError("odd")
        if self.closed:
            raise LinkClosed("the link is closed")
        assert not isinstance(frame, msgspec.Raw), "only workers pass frames on"
        self._worker.hear(frame)

    async def receive(self) -> Frame:
        """From the worker; LinkClosed after the last."""
        frame = await self._frames.get()
        if self.fault is not None:
            raise self.fault
        if frame is None:
            raise LinkClosed("the worker died")
        return frame

    async def delivered(self) -> None:
        """Everything is, at once."""

    async def close(self) -> None:
        """By either side; the worker forgets everything."""
        if not self.closed:
            self.closed = True
            self._frames.put_nowait(None)
            self._worker.forget_all()

    def say(self, frame: Frame) -> None:
        """From the worker to the gateway."""
        if not self.closed:
            self._frames.put_nowait(frame)


class FakeWorker:
    """Admits, prefills, decodes one token per ANSWER_S, and remembers what it holds."""

    def __init__(self, name: str, role: str, life: str = "1", total_blocks: int = 1000) -> None:
        self.record = record_of(name, role, life, total_blocks)
        self.identity = self.record.address.identity
        self.heard: list[Frame] = []
        self.held: dict[AttemptKey, asyncio.Task[None]] = {}
        self.refuses: dict[type[Frame], str] = {}
        """Code of the refusal by kind of command."""
        self.fails: dict[type[Frame], str] = {}
        """Code of the failure instead of the first token that would follow the command."""
        self.ignores: tuple[type[Frame], ...] = ()
        self.dies_at_token: int | None = None
        """Position of a token that is never said because the link ends."""
        self.skips: int | None = None
        """Position of a token that is left out."""
        self.frozen = False
        """Its links live and it says nothing by itself."""
        self.kv_sequence = 0
        """Number of its next frame of KV events."""
        self.load = load_of()
        self.own = NOTHING
        """What it says of the load of whoever is told."""
        self.links: list[FakeLink] = []
        self._clock = LoopClock()

    @property
    def link(self) -> FakeLink:
        """The last one dialled."""
        return self.links[-1]

    def dialled(self) -> FakeLink:
        """A new link to this worker, which says how it is at once and then that it lives."""
        self.links.append(FakeLink(self))
        if not self.frozen:
            self.link.say(StepReport((), self.load, self.own))
            self.kv_sequence = 0
            self.say_kv(Cleared())
        self._life = asyncio.get_running_loop().create_task(self._live(self.link))
        return self.link

    async def _live(self, link: FakeLink) -> None:
        while not link.closed:
            await self._clock.sleep(SIGN_OF_LIFE_S)
            if not self.frozen:
                link.say(StepReport((), self.load, self.own))

    def kinds(self) -> list[str]:
        """Names of the commands heard, in order."""
        return [type(frame).__name__ for frame in self.heard]

    def report(self, load: LoadReport, own: OwnLoad = NOTHING) -> None:
        """Tells the gateway how it is, now and with each sign of life."""
        self.load, self.own = load, own
        self.link.say(StepReport((), load, own))

    def say_kv(self, *events: KvEvent) -> None:
        """Tells the gateway what changed in its cache."""
        self.link.say(KvEvents(self.identity, self.kv_sequence, events))
        self.kv_sequence += 1

    def freeze(self) -> None:
        """The engine computes nothing more of what it holds; its links live."""
        self.frozen = True
        self.forget_all()

    async def die(self) -> None:
        """The link ends, and everything that was held is gone."""
        await self.link.close()

    def forget_all(self) -> None:
        """What a worker does when its gateway's link ends."""
        for task in self.held.values():
            task.cancel()
        self.held.clear()

    def hear(self, frame: Frame) -> None:
        """One command."""
        self.heard.append(frame)
        if isinstance(frame, self.ignores):
            return
        if isinstance(frame, Opening):
            self._start(frame.assignment.key, self._open(frame))
        elif isinstance(frame, Join) and frame.key in self.held:
            opening = next(f for f in self.heard if isinstance(f, Reserve) and f.assignment.key == frame.key)
            self._start(frame.key, self._speak(Join, opening.assignment, 1))
        elif isinstance(frame, Cancel) and frame.key in self.held:
            self.held.pop(frame.key).cancel()

    def _start(self, key: AttemptKey, work: Coroutine[None, None, None]) -> None:
        if key in self.held:
            self.held.pop(key).cancel()
        self.held[key] = asyncio.get_running_loop().create_task(work)

    async def _open(self, frame: Opening) -> None:
        key = frame.assignment.key
        await self._clock.sleep(ANSWER_S)
        code = self.refuses.get(type(frame))
        if code is not None:
            del self.held[key]
            self.link.say(Refused(key, code, "no"))
            return
        self.link.say(Admitted(key, 0))
        if isinstance(frame, Reserve):
            await self._clock.sleep(1e9)
        await self._speak(type(frame), frame.assignment, 0)

    async def _speak(self, kind: type[Frame], assignment: Assignment, skip: int) -> None:
        start = len(assignment.sent) + skip
        end = start + 1 if kind is Prefill else assignment.request.max_tokens
        for position in range(start, end):
            await self._clock.sleep(ANSWER_S)
            if position == self.dies_at_token:
                await self.die()
                return
            if kind in self.fails and position == start:
                self.link.say(Failed(assignment.key, self.fails[kind], "failed"))
                break
            if position != self.skips:
                self.link.say(
                    StepReport((self._delta(assignment, position, kind if position == start else None),))
                )
        del self.held[assignment.key]

    def _delta(self, assignment: Assignment, position: int, kind: type[Frame] | None) -> TokenDelta:
        """`kind`: of the command that this is the first answer to."""
        last = position == assignment.request.max_tokens - 1
        phase = Phase.TRANSFER if kind is Join else Phase.PREFILL
        stamps = (Stamp(phase, ANSWER_S),) if kind is not None else ()
        finish = FinishReason.LENGTH if last else None
        return TokenDelta(assignment.key, position, (token_at(position),), finish=finish, stamps=stamps)
