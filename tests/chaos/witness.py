"""Sees which engines live, so that one that ends without having been killed does not go unnoticed."""

from __future__ import annotations

import asyncio

from tests.chaos.stage import EngineProcess, Stage

LOOK_S = 1.0


class Witness:
    """Remembers every life of every engine."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def vanished(self, ended: frozenset[str]) -> tuple[str, ...]:
        """Workers of which a life ended that nobody ended on purpose."""
        alive = [engine.incarnation for engine in self._look()]
        return tuple(worker for life, worker in self._seen.items() if life not in ended and life not in alive)

    def _look(self) -> list[EngineProcess]:
        engines = self._stage.engines()
        self._seen.update((engine.incarnation, engine.worker) for engine in engines)
        return engines
