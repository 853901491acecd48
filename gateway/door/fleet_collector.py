"""The gateway's view of every worker, read when Prometheus asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.generator import FleetView
from protocol.load_report import LoadReport
from protocol.messages import WorkerRecord

Reports = list[tuple[tuple[str, str], LoadReport]]
"""(worker, role) and what it said last."""

LABELS = ("worker", "role")


class FleetCollector(Collector):
    """Everything is labelled by worker and role; nothing is kept between two scrapes."""

    def __init__(self, fleet: FleetView) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """All families."""
        workers = self._fleet.workers()
        yield GaugeMetricFamily(
            "baton_ready", "1 if a request can be answered now.", float(self._fleet.ready())
        )
        yield _linked(workers)
        reports = [((str(record.worker), record.role), load) for record, load in workers if load is not None]
        yield _gauge("baton_worker_running", "Sequences in the batch.", reports, "running")
        yield _gauge("baton_worker_waiting", "Sequences that wait.", reports, "waiting")
        yield _gauge("baton_worker_queued_tokens", "Prompt tokens to compute.", reports, "queued_tokens")
        yield _gauge("baton_worker_kv_blocks_total", "KV blocks.", reports, "total_blocks")
        yield _gauge("baton_worker_kv_blocks_free", "KV blocks a request can take.", reports, "free_blocks")
        yield _gauge("baton_worker_step_seconds", "Time of the last step.", reports, "step_s")
        yield _held(reports)
        steps = CounterMetricFamily("baton_worker_steps", "Steps of the engine.", labels=LABELS)
        for labels, load in reports:
            steps.add_metric(labels, load.steps)
        yield steps
        yield from _counters(reports)


def _linked(workers: tuple[tuple[WorkerRecord, LoadReport | None], ...]) -> Metric:
    family = GaugeMetricFamily("baton_worker_linked", "1 for each linked worker.", labels=LABELS)
    for record, _ in workers:
        family.add_metric((str(record.worker), record.role), 1.0)
    return family


def _gauge(name: str, text: str, reports: Reports, attribute: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=LABELS)
    for labels, load in reports:
        family.add_metric(labels, float(getattr(load, attribute)))
    return family


def _held(reports: Reports) -> Metric:
    family = GaugeMetricFamily("baton_worker_kv_blocks", "KV blocks by owner.", labels=(*LABELS, "owner"))
    for labels, load in reports:
        for owner, blocks in load.held_blocks:
            family.add_metric((*labels, owner), blocks)
    return family


def _counters(reports: Reports) -> Iterator[Metric]:
    names = sorted({name for _, load in reports for name, _ in load.counters})
    for name in names:
        metric = "baton_kv_" + re.sub(r"[^a-z0-9_]", "_", name.lower())
        family = CounterMetricFamily(metric, f"Total of {name} that workers report.", labels=LABELS)
        for labels, load in reports:
            for counter, value in load.counters:
                if counter == name:
                    family.add_metric(labels, value)
        yield family
