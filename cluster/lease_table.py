"""Who is alive, as lines of bytes that lapse: what the directory's Ray actor holds."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """One worker's line, and when it lapses on this process's clock."""

    incarnation: str
    line: bytes
    lapses_at: float


class LeaseTable:
    """A dict with lapse times. Restarted, it is empty, and the next renewals fill it."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    def join(self, worker: str, incarnation: str, line: bytes, lease_s: float) -> None:
        """Enters or renews a worker."""
        self._leases[worker] = Lease(incarnation, line, time.monotonic() + lease_s)

    def leave(self, worker: str, incarnation: str) -> None:
        """Removes a worker, if it is still in that incarnation."""
        lease = self._leases.get(worker)
        if lease is not None and lease.incarnation == incarnation:
            del self._leases[worker]

    def members(self) -> list[bytes]:
        """The lines of the living, in order of worker id."""
        now = time.monotonic()
        self._leases = {worker: lease for worker, lease in self._leases.items() if lease.lapses_at > now}
        return [self._leases[worker].line for worker in sorted(self._leases)]
