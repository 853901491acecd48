"""A real gateway and fleet around fake workers, on virtual time."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

from gateway.fleet import Fleet
from gateway.generator import TokenEvent
from gateway.gong import Gong
from gateway.quarantine import Quarantine
from gateway.service import Gateway
from gateway.worker_link import WorkerLink
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.errors import BatonError, LinkClosed
from protocol.ids import RequestId, TransferId
from protocol.limits import Limits
from protocol.links.link import Link
from protocol.messages import WorkerAddress
from protocol.request import Request
from protocol.sampling import Sampling
from protocol.virtual_loop import run_virtual
from router.joint_router import JointRouter
from router.outlook import Outlook
from router.prefix_index import IndexLimits
from router.slo import Slo
from tests.gateway.fake_worker import FakeWorker

FOREVER_S = 1e6
SMALL_INDEX = IndexLimits(max_blocks=1 << 16, max_workers=64, max_sets=1 << 12)
LIMITS = Limits()


class FakeDialer:
    """Reaches whoever the test has placed."""

    def __init__(self, workers: list[FakeWorker]) -> None:
        self._workers = workers
        self.dials: list[tuple[float, WorkerAddress]] = []
        self.fault: Exception | None = None

    async def dial(self, address: WorkerAddress) -> Link:
        """A link, or what the test wants to be raised."""
        self.dials.append((LoopClock().now(), address))
        if self.fault is not None:
            raise self.fault
        for worker in self._workers:
            if worker.identity == address.identity:
                return worker.dialled()
        raise LinkClosed("nobody is there")


@dataclass(slots=True)
class Answer:
    """What a client got."""

    events: list[TokenEvent] = field(default_factory=list)
    error: BatonError | None = None
    seconds: float = 0.0

    @property
    def tokens(self) -> list[int]:
        """In order."""
        return [token for event in self.events for token in event.tokens]


class Scene:
    """One gateway among fake workers. To be made inside a running loop."""

    def __init__(self, *workers: FakeWorker, limits: Limits = LIMITS, local: bool = False) -> None:
        """`local`: decode workers compute prompts where that is sooner."""
        self.clock = LoopClock(12_345.678)
        self.limits = limits
        self.workers = list(workers)
        self.directory = MemoryDirectory(self.clock)
        self.dialer = FakeDialer(self.workers)
        self.outlook = Outlook(SMALL_INDEX)
        self.fleet = Fleet(self.directory, self.dialer, self.clock, limits, self.outlook)
        self.replans = 0
        ids = itertools.count()
        self.gateway = Gateway(
            self.fleet,
            JointRouter(self.outlook, Slo(), limits.max_reserved_wait_s, local=local),
            self.clock,
            limits,
            lambda: TransferId(f"{next(ids):032x}"),
            self._count,
        )

    async def add(self, worker: FakeWorker) -> None:
        """One more worker, or a new life of one, linked soon."""
        self.workers.append(worker)
        await self.directory.join(worker.record, FOREVER_S)

    async def ask(self, request: Request) -> Answer:
        """One request from its start to its end."""
        answer = Answer()
        started = self.clock.now()
        try:
            async with aclosing(self.gateway.generate(request)) as events:
                async for event in events:
                    answer.events.append(event)
        except BatonError as error:
            answer.error = error
        answer.seconds = self.clock.now() - started
        return answer

    def is_clean(self) -> bool:
        """Whether no worker holds anything and the gateway has nothing open."""
        desks = [link.desk for link in self.fleet.links()]
        open_here = any(desk.open_requests or desk.open_tokens for desk in desks)
        held = any(worker.held for worker in self.workers)
        return not held and not open_here and self.gateway.open_requests == 0

    def _count(self) -> None:
        self.replans += 1


def link_to(worker: FakeWorker, limits: Limits = LIMITS) -> WorkerLink:
    """A gateway's end of a link to one worker, without a fleet."""
    clock = LoopClock()
    quarantine = Quarantine(clock, limits.poison_s, lambda said: None)
    return WorkerLink(worker.record, worker.dialled(), limits, Outlook(SMALL_INDEX), Gong(), quarantine)


@asynccontextmanager
async def scene(*workers: FakeWorker, limits: Limits = LIMITS, local: bool = False) -> AsyncIterator[Scene]:
    """Workers that are linked when the body begins."""
    made = Scene(*workers, limits=limits, local=local)
    for worker in workers:
        await made.directory.join(worker.record, FOREVER_S)
    await made.fleet.start()
    await made.clock.sleep(0.01)
    try:
        yield made
    finally:
        await made.fleet.stop()


def request(name: str = "r", *, prompt: int = 40, max_tokens: int = 5, timeout_s: float = 600.0) -> Request:
    """A request of `prompt` tokens."""
    return Request(
        RequestId(name), "fake", tuple(range(prompt)), Sampling(seed=1), max_tokens, timeout_s=timeout_s
    )


def pair() -> tuple[FakeWorker, FakeWorker]:
    """A prefill and a decode worker."""
    return FakeWorker("prefill-0", "prefill"), FakeWorker("decode-0", "decode")


def play(
    act: Callable[[Scene], Awaitable[None]],
    *workers: FakeWorker,
    limits: Limits = LIMITS,
    local: bool = False,
) -> None:
    """Runs one act among linked workers on virtual time."""

    async def run() -> None:
        async with scene(*workers, limits=limits, local=local) as made:
            await act(made)

    run_virtual(run())
