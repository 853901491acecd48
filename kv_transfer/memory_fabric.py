"""The network of the memory transport: which workers' memory can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.arena import Arena
from kv_transfer.read_fate import CalmFates, ReadFate, ReadFates
from protocol.ids import WorkerIdentity


class MemoryFabric:
    """Arenas by identity, shared by all transports of one process. No faults unless injected.

    Time is the running event loop's, real or virtual; delays are durations, so a node's clock
    offset does not matter here.
    """

    def __init__(
        self, fates: ReadFates | None = None, connect_s: float = 0.001, detect_s: float = 0.2
    ) -> None:
        self._fates = fates or CalmFates()
        self._arenas: dict[WorkerIdentity, Arena] = {}
        self._hung: dict[WorkerIdentity, list[Callable[[], None]]] = {}
        self.connect_s = connect_s
        self.detect_s = detect_s
        """From the death of a source to FAILED: 0.2 s was measured with NIXL over TCP."""

    def join(self, identity: WorkerIdentity, arena: Arena) -> None:
        """Makes a worker's memory reachable."""
        self._arenas[identity] = arena

    def leave(self, identity: WorkerIdentity) -> None:
        """The worker's process ends: reads from it fail, and nothing lands in it any more."""
        self._arenas.pop(identity, None)
        self.wake(identity)

    def arena(self, identity: WorkerIdentity) -> Arena | None:
        """The memory of a living worker."""
        return self._arenas.get(identity)

    def hang(self, identity: WorkerIdentity) -> None:
        """The worker's process stops answering; reads from it wait."""
        self._hung.setdefault(identity, [])

    def wake(self, identity: WorkerIdentity) -> None:
        """It goes on; what waited lands at once, however late."""
        for act in self._hung.pop(identity, []):
            asyncio.get_running_loop().call_soon(act)

    def after(self, seconds: float, source: WorkerIdentity, act: Callable[[], None]) -> None:
        """Calls `act` in `seconds`, or when `source` wakes if it hangs then."""

        def due() -> None:
            waiting = self._hung.get(source)
            if waiting is None:
                act()
            else:
                waiting.append(act)

        asyncio.get_running_loop().call_later(seconds, due)

    def fate(self, source: WorkerIdentity, reader: WorkerIdentity, blocks: int) -> ReadFate:
        """How the next read goes."""
        return self._fates.fate(source, reader, blocks)

    def now(self) -> float:
        """The loop's seconds."""
        return asyncio.get_running_loop().time()
