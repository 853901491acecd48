"""Who is alive and where. Losing the directory freezes membership and fails no request."""

from __future__ import annotations

from typing import Protocol

from protocol.clock import Clock
from protocol.ids import WorkerIdentity
from protocol.messages import WorkerRecord


class Directory(Protocol):
    """The seam of membership. Every call may raise WorkerLost if the holder is away."""

    async def join(self, record: WorkerRecord, lease_s: float) -> None:
        """Enters or renews a worker for `lease_s` seconds; an older incarnation is replaced."""
        ...

    async def leave(self, identity: WorkerIdentity) -> None:
        """Removes this incarnation; another one stays. Unknown is harmless."""
        ...

    async def members(self) -> tuple[WorkerRecord, ...]:
        """Everyone whose lease has not lapsed, in order of worker id."""
        ...


class MemoryDirectory:
    """The directory inside one process: for simulation and tests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, tuple[WorkerRecord, float]] = {}

    async def join(self, record: WorkerRecord, lease_s: float) -> None:
        """Enters or renews a worker."""
        self._records[record.worker] = (record, self._clock.now() + lease_s)

    async def leave(self, identity: WorkerIdentity) -> None:
        """Removes this incarnation only."""
        entry = self._records.get(identity.worker)
        if entry is not None and entry[0].address.identity == identity:
            del self._records[identity.worker]

    async def members(self) -> tuple[WorkerRecord, ...]:
        """The living, in order of worker id."""
        now = self._clock.now()
        self._records = {k: v for k, v in self._records.items() if v[1] > now}
        return tuple(self._records[k][0] for k in sorted(self._records))
