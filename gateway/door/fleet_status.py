"""The gateway's view of the pools as one JSON document."""

from __future__ import annotations

from gateway.door.model_card import ModelCard
from gateway.door.usage import Json
from gateway.generator import FleetView
from protocol.load_report import LoadReport
from protocol.messages import WorkerRecord


def status_json(card: ModelCard, fleet: FleetView) -> Json:
    """Pools in order of role, workers in order of id; `load` is null before the first report."""
    workers = sorted(fleet.workers(), key=lambda entry: (entry[0].role, entry[0].worker))
    pools: dict[str, list[Json]] = {}
    for record, load in workers:
        pools.setdefault(record.role, []).append(_worker(record, load))
    return {
        "ready": fleet.ready(),
        "model": card.name,
        "max_model_len": card.max_context,
        "pools": [{"role": role, "workers": members} for role, members in pools.items()],
    }


def _worker(record: WorkerRecord, load: LoadReport | None) -> Json:
    return {
        "worker": record.worker,
        "incarnation": record.address.identity.incarnation,
        "address": f"{record.address.host}:{record.address.port}",
        "block_size": record.block_size,
        "total_blocks": record.total_blocks,
        "load": None if load is None else _load(load),
    }


def _load(load: LoadReport) -> Json:
    return {
        "running": load.running,
        "waiting": load.waiting,
        "queued_tokens": load.queued_tokens,
        "total_blocks": load.total_blocks,
        "free_blocks": load.free_blocks,
        "held_blocks": dict(load.held_blocks),
        "steps": load.steps,
        "step_s": load.step_s,
        "prefill_tokens_per_s": load.prefill_tokens_per_s,
        "counters": dict(load.counters),
    }
