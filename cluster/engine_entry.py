"""The engine process: runner, transport, role and core, then the step loop. No ray.

Started by worker.engine_process.ChildHost as `python -m cluster.engine_entry CONFIG`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable

from cluster.engine_config import EngineConfig
from cluster.modelled_engine import modelled_runner
from decode_worker.role import DecodeRole
from engine.engine import Engine
from engine.runner import Runner
from engine.schedule import SchedulePolicy, StepOrder
from engine.torch_runner.load_options import LoadOptions
from kv_transfer.copy_budget import CopyBudget
from kv_transfer.nixl_agent import ucx_config
from kv_transfer.nixl_transport import NixlSettings, NixlTransport
from kv_transfer.sink import KvSink
from kv_transfer.source import KvSource
from prefill_worker.role import PrefillRole
from protocol.errors import InvalidSpec
from protocol.messages import SourceFacts
from worker.core import WorkerCore
from worker.engine_main import run_engine
from worker.role import Role
from worker.warm_up import warm_up

HOST = "127.0.0.1"
"""Links and KV stay on this machine."""

IDLE_STEP_S = 0.1
"""With no batch to stall, pulls may take as much as a step of this length would leave them."""

RoleBuilder = Callable[[EngineConfig, Engine, NixlTransport], Role]


def build_core(config: EngineConfig) -> WorkerCore:
    """Loads the model. Raises UnsupportedModel, InvalidSpec or another BatonError."""
    runner = build_runner(config)
    scheduling = config.scheduling
    policy = SchedulePolicy(
        max_batch_tokens=scheduling.max_batch_tokens,
        max_running=scheduling.max_running,
        max_step_s=scheduling.max_step_ms / 1000.0,
        order=StepOrder.PREFILL_FIRST if config.role == "prefill" else StepOrder.DECODE_FIRST,
    )
    engine = Engine(runner, policy)
    runner.arena.touch()
    warm_up(engine)
    settings = NixlSettings(config=ucx_config(HOST, os.environ))
    transport = NixlTransport(config.identity, runner.arena, time.monotonic, settings)
    role = _builder(config.role)(config, engine, transport)
    return WorkerCore(engine, (role,), config.identity, config.limits)


def build_runner(config: EngineConfig) -> Runner:
    """What computes, or pretends to. Raises as `build_core`."""
    if config.mock is not None:
        return modelled_runner(config.model, config.name, config.block_size, config.mock)
    from engine.torch_runner.load_runner import load_runner  # torch, which a modelled engine does without

    return load_runner(
        LoadOptions(
            model=config.model,
            kv_bytes=config.kv_bytes,
            now=time.monotonic,
            name=config.name,
            dtype=config.dtype,
            device=config.device,
            weights=config.weights,
            kv_dtype=config.kv_dtype,
            block_size=config.block_size,
            threads=config.threads,
        )
    )


def _builder(role: str) -> RoleBuilder:
    builders: dict[str, RoleBuilder] = {"prefill": _prefill_role, "decode": _decode_role}
    if role not in builders:
        raise InvalidSpec(f"no worker plays the role {role!r}")
    return builders[role]


def _prefill_role(config: EngineConfig, engine: Engine, transport: NixlTransport) -> PrefillRole:
    source, sink = _source(config, engine, transport), _sink(config, engine, transport)
    return PrefillRole(engine, source, sink, config.limits)


def _decode_role(config: EngineConfig, engine: Engine, transport: NixlTransport) -> DecodeRole:
    source, sink = _source(config, engine, transport), _sink(config, engine, transport)
    return DecodeRole(engine, sink, source, config.limits)


def _source(config: EngineConfig, engine: Engine, transport: NixlTransport) -> KvSource:
    arena, fingerprint = engine.runner.arena, engine.runner.facts.fingerprint
    facts = SourceFacts(
        identity=config.identity,
        agent=transport.local_agent(),
        arena_address=arena.address,
        block_bytes=arena.block_bytes,
        num_blocks=arena.num_blocks,
        generations_address=arena.generations_address,
        device=arena.device,
    )
    return KvSource(engine.pool, facts, fingerprint, config.limits)


def _sink(config: EngineConfig, engine: Engine, transport: NixlTransport) -> KvSink:
    budget = CopyBudget(config.limits.post_bytes)
    return KvSink(
        engine.pool,
        transport,
        config.identity,
        engine.runner.facts.fingerprint,
        engine.runner.arena.block_bytes,
        config.limits,
        budget=lambda: budget.bytes_for(
            transport.copy_cost(), engine.step_s if engine.running else IDLE_STEP_S
        ),
    )


def main() -> int:
    """The exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = EngineConfig.from_json(sys.argv[1])
    return run_engine(lambda: build_core(config), config.limits, os.environ)


if __name__ == "__main__":
    sys.exit(main())
