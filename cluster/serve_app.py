"""The Serve application: one gateway deployment, one deployment per pool of workers.

Serve places, counts, watches and replaces replicas. No token and no KV passes through its handles:
gateways find workers through the directory and talk to them over links.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from typing import Any

from ray import serve
from ray.serve import Application

from cluster.deployments import DECODE, GATEWAY, PREFILL, version
from cluster.directories import open_directory
from cluster.gateway_entry import GatewayApp, build_gateway
from cluster.listeners import take_in_many
from cluster.ray_private import (
    end_on_sigterm,
    keep_replica_on_loopback,
    let_door_mind_requests,
    let_gateway_take_its_port_over,
    with_version,
)
from cluster.spec import PoolSpec, Spec
from cluster.start_failure import StartFailure
from cluster.worker_entry import LOAD_DEADLINE_S, WorkerPlace, build_worker
from gateway.door.http_door import HttpDoor
from protocol.errors import BatonError, WorkerLost

STOP_GRACE_S = 2.0
HEALTH_PERIOD_S = 2.0
REQUEST_HEADROOM = 64
"""Serve's own bound is above ours, so that a full gateway answers with our typed error."""

GC_THRESHOLDS = (10_000, 20, 20)
"""Objects that a gateway makes between two looks for unreachable ones, and how many of these looks make the
next deeper one."""

logger = logging.getLogger(__name__)


class WorkerReplica:
    """One worker: its I/O process is this replica, and it dies with its engine."""

    async def __init__(  # type: ignore[misc]  # Serve awaits a constructor that is a coroutine
        self, spec: Spec, role: str, log_folder: str
    ) -> None:
        keep_replica_on_loopback()
        self._drain_s = spec.limits.drain_s
        place = WorkerPlace(role, serve.get_replica_context().rank.rank, log_folder)
        try:
            self._worker = build_worker(spec, place, open_directory(spec))
            await self._worker.start(LOAD_DEADLINE_S)
        except WorkerLost as silent:
            raise StartFailure(
                place.worker, WorkerLost(f"{silent.message}; its log is {place.log}")
            ) from silent
        except BatonError as wrong:
            raise StartFailure(place.worker, wrong) from wrong
        loop = asyncio.get_running_loop()
        self._watch = loop.create_task(self._end_with_engine())
        self._end: asyncio.Task[None] | None = None
        end_on_sigterm(lambda: loop.call_soon_threadsafe(self._begin_end))

    def check_health(self) -> None:
        """Raises what ended the worker."""
        self._worker.health()

    async def __del__(self) -> None:
        """Serve's hook of scale-down, roll-out and shutdown, bounded by graceful_shutdown_timeout_s."""
        if hasattr(self, "_watch"):
            await self._leave()

    def _begin_end(self) -> None:
        """After SIGTERM: as a scale-down, but that the process ends as well, and Serve replaces it."""
        logger.info("SIGTERM: the worker is drained")
        self._end = self._end or asyncio.get_running_loop().create_task(self._leave_and_exit())

    async def _leave(self) -> None:
        """So that nobody notices."""
        self._watch.cancel()
        await self._worker.drain(self._drain_s)
        await self._worker.stop(STOP_GRACE_S)

    async def _leave_and_exit(self) -> None:
        try:
            await self._leave()
        finally:
            os._exit(0)

    async def _end_with_engine(self) -> None:
        """A worker whose engine ended is replaced as a whole, and at once."""
        try:
            await self._worker.finished()
        except BatonError as end:
            logger.error("the worker ends with its engine: %s", end.message)
            os._exit(1)


class GatewayReplica:
    """One gateway. Serve asks it for the ASGI app that faces the clients."""

    def __init__(self, spec: Spec, *_pools: object) -> None:
        """`_pools`: handles that only make Serve deploy the pools with the gateway."""
        keep_replica_on_loopback()
        let_gateway_take_its_port_over()
        let_door_mind_requests()
        take_in_many()
        self._spec = spec
        self._gateway: GatewayApp | None = None

    async def __serve_build_asgi_app__(self) -> HttpDoor:
        try:
            self._gateway = await build_gateway(self._spec, open_directory(self._spec))
        except BatonError as wrong:
            raise StartFailure("gateway", wrong) from wrong
        # What is here now stays: a full collection would look at all of it again, and hold up every answer.
        # What a request leaves behind is few cycles: to look for them at every 700th object costs more.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        return self._gateway.app

    async def __del__(self) -> None:
        if self._gateway is not None:
            await self._gateway.stop()


def build_app(spec: Spec, log_folder: str) -> Application:
    """The application of one cluster. `log_folder`: for the engines' output, on every node."""
    limits = spec.limits
    leave_s = limits.drain_s + limits.lease_s + limits.renew_every_s + 2 * STOP_GRACE_S
    workers = [
        with_version(
            _deployment(WorkerReplica, name, pool.replicas, _actor_options(pool), leave_s),
            version(spec, name),
        ).bind(spec, role, log_folder)
        for name, role, pool in (
            (PREFILL, "prefill", spec.pools.prefill),
            (DECODE, "decode", spec.pools.decode),
        )
        if pool.replicas
    ]
    ingress = serve.ingress()(GatewayReplica)
    bound = spec.limits.max_open_requests + REQUEST_HEADROOM
    gateway = _deployment(ingress, GATEWAY, spec.gateway.replicas, {"num_cpus": 0}, leave_s, bound)
    return with_version(gateway, version(spec, GATEWAY)).bind(spec, *workers)


def _deployment(
    kind: type, name: str, replicas: int, actor_options: dict[str, Any], leave_s: float, ongoing: int = 100
) -> serve.Deployment:
    return serve.deployment(
        name=name,
        num_replicas=replicas,
        ray_actor_options=actor_options,
        max_ongoing_requests=ongoing,
        max_constructor_retry_count=1,  # a model that cannot be loaded once cannot be loaded twice
        health_check_period_s=HEALTH_PERIOD_S,
        graceful_shutdown_timeout_s=leave_s,
        graceful_shutdown_wait_loop_s=0.2,
    )(kind)


def _actor_options(pool: PoolSpec) -> dict[str, Any]:
    """Cores are pinned by the engine process; Ray counts only what the spec asks it to."""
    options: dict[str, Any] = {"num_cpus": 0}
    if pool.resources:
        options["resources"] = dict(pool.resources)
    if pool.labels:
        options["label_selector"] = dict(pool.labels)
    return options
