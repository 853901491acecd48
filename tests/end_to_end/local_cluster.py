"""A cluster of real worker processes on this machine, and a gateway in the test's own process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.byte_size import ByteSize
from cluster.spec import PoolSpec, PoolsSpec, SchedulingSpec, Spec
from cluster.worker_entry import WorkerPlace, build_worker
from gateway.fleet import Fleet
from gateway.generator import TokenEvent
from gateway.service import Gateway
from protocol.clock import LoopClock
from protocol.directory import MemoryDirectory
from protocol.ids import RequestId, TransferId
from protocol.links.tcp import TcpDialer
from protocol.messages import WIRE_VERSION, Hello
from protocol.request import Request
from protocol.sampling import Sampling
from router.joint_router import JointRouter
from router.outlook import Outlook
from router.prefix_index import IndexLimits
from router.slo import Slo

START_S = 120.0
ANSWER_S = 120.0


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """What a test talks to."""

    gateway: Gateway
    fleet: Fleet
    router: JointRouter

    def counter(self, name: str) -> int:
        """A workers' count, added up."""
        loads = [load for _, load in self.fleet.workers() if load is not None]
        return sum(dict(load.counters).get(name, 0) for load in loads)

    async def answer(self, request: Request) -> list[TokenEvent]:
        """All events of one request."""
        async with asyncio.timeout(ANSWER_S), aclosing(self.gateway.generate(request)) as events:
            return [event async for event in events]

    async def tokens(self, prompt: list[int], count: int, salt: bytes = b"") -> list[int]:
        """The greedy answer to a prompt."""
        events = await self.answer(greedy(prompt, count, salt))
        return [token for event in events for token in event.tokens]


def greedy(prompt: list[int], count: int, salt: bytes = b"") -> Request:
    """A request for `count` greedy tokens, whatever they are."""
    return Request(
        id=RequestId(secrets.token_hex(8)),
        model="tiny",
        prompt=tuple(prompt),
        sampling=Sampling(seed=0, temperature=0.0),
        max_tokens=count,
        salt=salt,
    )


def tiny_spec(model: Path, prefills: int, decodes: int, dtype: str = "fp32") -> Spec:
    """A small cluster on one machine."""
    return Spec(
        model=str(model),
        served_name="tiny",
        dtype="bf16" if dtype == "bf16" else "fp32",
        block_size=16,
        kv_memory=ByteSize(32 << 20),
        pools=PoolsSpec(
            PoolSpec(replicas=prefills, threads=1),
            PoolSpec(replicas=decodes, threads=1),
        ),
        scheduling=SchedulingSpec(max_batch_tokens=256, max_running=32),
    )


@asynccontextmanager
async def local_cluster(
    spec: Spec, kind: type[JointRouter] = JointRouter, *, local: bool = True
) -> AsyncIterator[LocalCluster]:
    """Starts all workers at once, then the gateway with a router of this kind; stops them afterwards.
    `local`: decode workers compute prompts where that is sooner."""
    clock = LoopClock()
    directory = MemoryDirectory(clock)
    prefills, decodes = spec.pools.prefill.replicas, spec.pools.decode.replicas
    places = [WorkerPlace("prefill", rank, "") for rank in range(prefills)]
    places += [WorkerPlace("decode", rank, "") for rank in range(decodes)]
    async with AsyncExitStack() as stack:
        workers = [build_worker(spec, place, directory) for place in places]
        for worker in workers:
            stack.push_async_callback(worker.stop, 2.0)
        await asyncio.gather(*(worker.start(START_S) for worker in workers))
        hello = Hello(WIRE_VERSION, "gateway", "gateway-test", secrets.token_hex(4))
        outlook = Outlook(IndexLimits())
        fleet = Fleet(directory, TcpDialer(hello, clock, spec.limits), clock, spec.limits, outlook)
        await fleet.start()
        stack.push_async_callback(fleet.stop)
        async with asyncio.timeout(START_S):
            while len(fleet.links()) < len(places):
                await asyncio.sleep(0.05)
        router = kind(outlook, Slo(), spec.limits.max_reserved_wait_s, local=local)
        new_transfer = _new_transfer
        yield LocalCluster(Gateway(fleet, router, clock, spec.limits, new_transfer), fleet, router)


def _new_transfer() -> TransferId:
    return TransferId(secrets.token_hex(16))
