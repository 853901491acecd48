"""An engine that ended against its will while an attempt was open on it."""

from __future__ import annotations

from protocol.errors import WorkerLost
from protocol.ids import AttemptKey, WorkerId


class EngineDeath(WorkerLost):
    """Never travels: workers say Died, and this is what it means for one attempt."""

    code = "engine_died"

    def __init__(self, worker: WorkerId, suspects: tuple[AttemptKey, ...]) -> None:
        """`suspects`: every attempt in the steps that were running."""
        super().__init__(f"the engine of worker {worker} died")
        self.suspects = suspects
