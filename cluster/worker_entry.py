"""Puts one worker together: the engine's command, its links, its place in the directory. No ray."""

from __future__ import annotations

import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

from cluster.engine_config import EngineConfig
from cluster.spec import PoolSpec, Spec
from protocol.clock import LoopClock
from protocol.directory import Directory
from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.links.tcp import TcpDialer, TcpLinkServer
from protocol.messages import WIRE_VERSION, Hello
from worker.engine_process import ChildCommand, ChildHost
from worker.worker_server import WorkerServer

SPINS = "2000"
"""How often a compute thread looks for work before it sleeps: some tens of microseconds. OpenMP's own
choice, some milliseconds, would keep the core from the gateway just when the tokens of a step go out."""
LOAD_DEADLINE_S = 1800.0
"""A large model on a slow disk; a hung load ends at last."""
ROOT = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Which worker of which pool this is."""

    role: str
    """"prefill" or "decode"."""
    rank: int
    log_folder: str
    """Its engine's output goes to a file there; empty leaves it with the worker's own."""

    @property
    def worker(self) -> WorkerId:
        """The place's name: it survives a restart."""
        return WorkerId(f"{self.role}-{self.rank}")

    @property
    def log(self) -> Path | None:
        """The file that its engine's output goes to."""
        return Path(self.log_folder) / f"{self.worker}.log" if self.log_folder else None


def build_worker(spec: Spec, place: WorkerPlace, directory: Directory) -> WorkerServer:
    """One worker in a new life; it is not started. To be called in its event loop."""
    pool = spec.pools.prefill if place.role == "prefill" else spec.pools.decode
    identity = WorkerIdentity(place.worker, Incarnation(uuid.uuid4().hex))
    own = Hello(WIRE_VERSION, "worker", identity.worker, identity.incarnation)
    clock, limits = LoopClock(), spec.limits
    return WorkerServer(
        host=ChildHost(engine_command(spec, pool, place, identity), clock, limits),
        link_server=TcpLinkServer(own, clock, limits),
        dialer=TcpDialer(own, clock, limits),
        directory=directory,
        clock=clock,
        limits=limits,
        role=place.role,
    )


def engine_command(spec: Spec, pool: PoolSpec, place: WorkerPlace, identity: WorkerIdentity) -> ChildCommand:
    """How this worker's engine process is started."""
    cores = share_of_cores(pool, place.rank)
    threads = pool.threads or len(cores) or max(1, len(os.sched_getaffinity(0)) // spec.workers)
    config = EngineConfig(
        role=place.role,
        identity=identity,
        model=spec.model,
        name=spec.name,
        dtype=spec.dtype,
        device=spec.device_of(pool),
        weights=spec.weights,
        kv_dtype=spec.kv_dtype,
        block_size=spec.block_size,
        kv_bytes=int(spec.kv_memory),
        threads=threads,
        mock=None if spec.computes else spec.mock,
        scheduling=spec.scheduling,
        limits=spec.limits,
    )
    path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    return ChildCommand(
        argv=(sys.executable, "-m", "cluster.engine_entry", config.to_json()),
        environment=(
            ("OMP_NUM_THREADS", str(threads)),
            ("GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT", SPINS)),
            ("PYTHONPATH", path),
        ),
        cores=cores,
        log=place.log,
    )


def share_of_cores(pool: PoolSpec, rank: int) -> tuple[int, ...]:
    """The cores of one worker of a pool; a rank beyond the replicas (a roll-out) shares from the start."""
    if not pool.cores:
        return ()
    each = len(pool.cores) // pool.replicas
    first = rank % pool.replicas * each
    return pool.cores[first : first + each]
