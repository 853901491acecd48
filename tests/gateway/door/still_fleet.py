"""A fleet of two workers that never changes."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import Incarnation, WorkerId, WorkerIdentity
from protocol.load_report import LoadReport
from protocol.messages import WorkerAddress, WorkerRecord

LOAD = LoadReport(
    running=2,
    waiting=1,
    queued_tokens=70,
    total_blocks=100,
    free_blocks=60,
    held_blocks=(("cache", 30), ("free", 30), ("request", 40)),
    steps=7,
    step_s=0.01,
    prefill_tokens_per_s=900.0,
    counters=(("failed_verifications", 0), ("transferred_blocks", 12)),
)


@dataclass(slots=True)
class StillFleet:
    """One worker that has reported, one that has not."""

    is_ready: bool = True

    def workers(self) -> tuple[tuple[WorkerRecord, LoadReport | None], ...]:
        """The decode worker has said how it is; the prefill worker not yet."""
        return (record("d0", "decode"), LOAD), (record("p0", "prefill"), None)

    def ready(self) -> bool:
        """As it was set."""
        return self.is_ready


def record(name: str, role: str) -> WorkerRecord:
    """One line of the directory."""
    address = WorkerAddress(WorkerIdentity(WorkerId(name), Incarnation("1")), "127.0.0.1", 7000)
    return WorkerRecord(address, role, "tiny", 256, 100, 16, "f")
