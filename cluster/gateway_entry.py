"""Puts one gateway together: fleet, router, door. No ray, no torch."""

from __future__ import annotations

import math
import time
import uuid
from pathlib import Path

from prometheus_client import CollectorRegistry

from cluster.model_sizes import read_sizes
from cluster.random_bytes import RandomBytes
from cluster.spec import SloSpec, Spec
from gateway.door.call_log import CallLog
from gateway.door.door_parts import DoorParts
from gateway.door.http_door import HttpDoor, http_app
from gateway.door.model_card import ModelCard
from gateway.door.sources import Sources
from gateway.door.tenant import Tenant
from gateway.fleet import Fleet
from gateway.metrics import GatewayMetrics
from gateway.service import Gateway
from gateway.text.model_text import load_model_text
from protocol.clock import Clock, LoopClock
from protocol.directory import Directory
from protocol.errors import DeadlineExceeded, WorkerLost
from protocol.executor import ThreadExecutor
from protocol.ids import TransferId
from protocol.links.tcp import TcpDialer
from protocol.messages import WIRE_VERSION, Hello, WorkerRecord
from router.joint_router import JointRouter
from router.outlook import Outlook
from router.prefix_index import IndexLimits
from router.slo import Slo

FIRST_WORKER_S = 1800.0
"""As long as a worker may take to load."""
POLL_S = 0.1
TEXT_THREADS = 2
TEXT_QUEUE = 1024


class GatewayApp:
    """One gateway that runs: its ASGI app, and its end."""

    def __init__(self, app: HttpDoor, fleet: Fleet, executor: ThreadExecutor) -> None:
        self.app = app
        self._fleet = fleet
        self._executor = executor

    async def stop(self) -> None:
        """Ends the links; answers that are still running fail."""
        await self._fleet.stop()
        await self._executor.close()


async def build_gateway(spec: Spec, directory: Directory) -> GatewayApp:
    """A gateway that follows the directory. Waits for the first decode worker, which alone knows how
    long a context fits. Raises UnsupportedModel, or DeadlineExceeded if no worker comes."""
    clock, limits, random = LoopClock(), spec.limits, RandomBytes()
    folder = Path(spec.model)
    text = load_model_text(folder, time.time)
    own = Hello(WIRE_VERSION, "gateway", f"gateway-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex)
    outlook = Outlook(IndexLimits())
    fleet = Fleet(directory, TcpDialer(own, clock, limits), clock, limits, outlook)
    local = spec.gateway.local_prefill
    router = JointRouter(outlook, promised(spec.slo), limits.max_reserved_wait_s, local=local)
    executor = ThreadExecutor(clock, TEXT_THREADS, TEXT_QUEUE)
    async with clock.deadline(FIRST_WORKER_S):
        worker = await _first_decoder(directory, clock, limits.peer_deadline_s)
    metrics = GatewayMetrics(CollectorRegistry(), spec.name)
    gateway = Gateway(
        fleet, router, clock, limits, lambda: TransferId(random.id()), metrics.replans.inc, metrics.ended
    )
    parts = DoorParts(
        generator=gateway,
        fleet=fleet,
        card=ModelCard(
            name=spec.name,
            max_context=worker.max_context,
            vocabulary=read_sizes(folder).vocabulary,
            created=int(time.time()),
            fingerprint=f"fp_{worker.fingerprint[:12]}",
        ),
        text=text,
        limits=limits,
        clock=clock,
        executor=executor,
        sources=Sources(random.id, random.seed, time.time),
        metrics=metrics,
        tenant=Tenant(),
        calls=CallLog(),
        logbook=gateway.logbook,
    )
    await fleet.start()
    return GatewayApp(http_app(parts), fleet, executor)


def promised(slo: SloSpec) -> Slo:
    """The spec's promises in seconds."""
    return Slo(slo.ttft_ms / 1000 or math.inf, slo.itl_ms / 1000 or math.inf)


async def _first_decoder(directory: Directory, clock: Clock, patience_s: float) -> WorkerRecord:
    while True:
        try:
            async with clock.deadline(patience_s):
                members = await directory.members()
        except (WorkerLost, DeadlineExceeded):
            members = ()
        for record in members:
            if record.role == "decode":
                return record
        await clock.sleep(POLL_S)
