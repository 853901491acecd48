"""The cluster under test: `baton up` with Redis as directory, and its processes by what they are."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.default_model import DEFAULT_MODEL
from cluster.run_processes import processes_of
from engine.torch_runner.model_folder import resolve_model
from tests.chaos.redis_process import RedisProcess
from tests.cluster.baton_process import BatonProcess, baton_up

READY = "Ctrl-C stops the cluster."
START_S = 900.0
MODEL = "chaos"
GATEWAY = "ServeReplica:baton:Gateway"
ENGINE = "cluster.engine_entry"
HTTP_S = 10.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the cluster: replicas of each kind."""

    prefill: int
    decode: int
    gateways: int


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """One life of one engine."""

    pid: int
    replica: int
    """Pid of its I/O process, the Serve replica."""
    role: str
    worker: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a gateway says of a worker that it is linked to."""

    role: str
    worker: str
    incarnation: str
    idle: bool
    """Nothing runs or waits."""
    total: int
    """Blocks of its pool."""
    free: int
    """Blocks that a request could take."""
    held: dict[str, int]
    """Blocks by owner."""


class Stage:
    """One running cluster with everything around it."""

    def __init__(
        self, baton: BatonProcess, redis: RedisProcess, model: Path, document: dict[str, Any]
    ) -> None:
        self.baton = baton
        self.model = model
        self.redis = redis
        self.document = document
        """Its spec, as it was written."""

    @property
    def wanted_workers(self) -> int:
        """Of both pools."""
        return self.replicas("prefill") + self.replicas("decode")

    def replicas(self, pool: str) -> int:
        """As the spec has it."""
        return int(self.document["pools"][pool]["replicas"])

    def apply(self, document: dict[str, Any]) -> None:
        """`baton apply`. Raises ValueError with what it said, if it was refused."""
        spec = self.model.parent / "changed.yaml"
        spec.write_text(json.dumps(document), encoding="utf-8")
        done = self.baton.command("apply", str(spec))
        if done.returncode:
            raise ValueError(done.stdout + done.stderr)
        self.document = document

    @property
    def port(self) -> int:
        """Of the gateway, or of the balancer in front of several."""
        return self.baton.port

    @property
    def wanted_gateways(self) -> int:
        """As the spec has it."""
        return int(self.document["gateway"]["replicas"])

    def gateways(self) -> list[int]:
        """Pids of the gateways that live, in order."""
        return [pid for pid, line in self._lines() if GATEWAY in line]

    def engines(self) -> list[EngineProcess]:
        """Every living engine, those that still load as well, in order of pid."""
        found = []
        for pid, line in self._lines():
            words = line.split("\0")
            parent = _parent(pid)
            if ENGINE in words and parent:
                config = json.loads(words[words.index(ENGINE) + 1])
                worker, incarnation = config["identity"]
                found.append(EngineProcess(pid, parent, config["role"], worker, incarnation))
        return found

    async def workers(self) -> list[WorkerStatus]:
        """By the gateway's view. Raises OSError or ValueError while there is none."""
        status = await self._status()
        return [_worker(pool["role"], worker) for pool in status["pools"] for worker in pool["workers"]]

    async def _status(self) -> dict[str, list[dict[str, list[dict[str, object]]]]]:
        async with asyncio.timeout(HTTP_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(b"GET /status HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        return json.loads(answer[answer.find(b"{") : answer.rfind(b"}") + 1])  # type: ignore[no-any-return]

    def _lines(self) -> list[tuple[int, str]]:
        lines = []
        for pid in processes_of(self.baton.run_id):
            try:
                lines.append((pid, Path(f"/proc/{pid}/cmdline").read_text(errors="replace")))
            except OSError:
                continue  # it ended just now
        return lines


def spec_document(model: Path, redis: RedisProcess, sizes: Sizes) -> dict[str, Any]:
    """The spec of the cluster under test: fp32, a thread for each engine."""
    return {
        "model": str(model),
        "served_name": MODEL,
        "dtype": "fp32",
        "kv_memory": "192MiB",
        "directory": redis.url,
        "pools": {
            "prefill": {"replicas": sizes.prefill, "threads": 1},
            "decode": {"replicas": sizes.decode, "threads": 1},
        },
        "gateway": {"replicas": sizes.gateways},
    }


@contextmanager
def open_stage(folder: Path, sizes: Sizes) -> Iterator[Stage]:
    """Starts Redis and the cluster; both are gone afterwards. The model is copied first, so that all
    workers of the run, early and late, load the same."""
    model = folder / "model"
    shutil.copytree(resolve_model(DEFAULT_MODEL), model)
    redis = RedisProcess(folder)
    redis.start()
    try:
        document = spec_document(model, redis, sizes)
        spec = folder / "chaos.yaml"
        spec.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        with baton_up(str(spec)) as baton:
            baton.wait_until(lambda output: READY in output, START_S)
            yield Stage(baton, redis, model, document)
    finally:
        redis.kill()


def _worker(role: object, said: dict[str, object]) -> WorkerStatus:
    load = said["load"]
    known: dict[str, object] = load if isinstance(load, dict) else {}
    held = known.get("held_blocks")
    return WorkerStatus(
        role=str(role),
        worker=str(said["worker"]),
        incarnation=str(said["incarnation"]),
        idle=bool(known) and not known["running"] and not known["waiting"],
        total=_count(known.get("total_blocks")),
        free=_count(known.get("free_blocks")),
        held={str(owner): _count(blocks) for owner, blocks in held.items()} if isinstance(held, dict) else {},
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else -1


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0
