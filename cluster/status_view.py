"""`baton status`: pools, workers and their KV use, as the gateway sees them."""

from __future__ import annotations

import httpx
import msgspec
from rich.table import Table

from cluster.endpoint import CONNECT_S, explained, unreachable
from protocol.errors import BatonError


class WorkerLoad(msgspec.Struct, frozen=True):
    """What is shown of a load report."""

    running: int
    waiting: int
    total_blocks: int
    free_blocks: int
    held_blocks: dict[str, int]
    counters: dict[str, int]


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker."""

    worker: str
    address: str
    block_size: int
    load: WorkerLoad | None


class PoolStatus(msgspec.Struct, frozen=True):
    """The workers of one role."""

    role: str
    workers: list[WorkerStatus]


class ClusterStatus(msgspec.Struct, frozen=True):
    """The gateway's answer to GET /status; fields that are not shown are skipped."""

    ready: bool
    model: str
    max_model_len: int
    pools: list[PoolStatus]


def fetch_status(endpoint: str) -> ClusterStatus:
    """Asks the gateway. Raises a BatonError with one sentence."""
    try:
        answer = httpx.get(f"{endpoint}/status", timeout=CONNECT_S, trust_env=False)
    except httpx.HTTPError as wrong:
        raise unreachable(endpoint, wrong) from wrong
    if answer.status_code != httpx.codes.OK:
        raise explained(answer)
    try:
        return msgspec.json.decode(answer.content, type=ClusterStatus)
    except msgspec.MsgspecError as wrong:
        raise BatonError(f"{endpoint} is no gateway of this version: {wrong}") from wrong


def status_table(status: ClusterStatus) -> Table:
    """One row a worker."""
    table = Table(box=None, pad_edge=False)
    for title in ("pool", "worker", "address"):
        table.add_column(title, no_wrap=True)
    for title in ("running", "waiting", "KV in use", "cached", "KV blocks moved"):
        table.add_column(title, justify="right", no_wrap=True)
    for pool in status.pools:
        for worker in pool.workers:
            table.add_row(pool.role, worker.worker, worker.address, *_load_cells(worker.load))
    return table


def _load_cells(load: WorkerLoad | None) -> tuple[str, ...]:
    if load is None:
        return ("?",) * 5
    used = load.total_blocks - load.free_blocks
    share = f"{used}/{load.total_blocks} blocks ({used / max(1, load.total_blocks):.0%})"
    cached = str(load.held_blocks.get("cache", 0))
    moved = load.counters.get("transferred_blocks", load.counters.get("published_blocks", 0))
    return (str(load.running), str(load.waiting), share, cached, str(moved))
