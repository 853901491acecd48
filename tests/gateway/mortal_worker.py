"""A worker whose engine dies: of certain requests, or when a test says so; a new life follows."""

from __future__ import annotations

import asyncio

from protocol.clock import LoopClock
from protocol.ids import AttemptKey
from protocol.messages import Compute, Died, Frame, Leaving, Prefill
from protocol.request import Assignment
from tests.gateway.fake_worker import FakeWorker
from tests.gateway.gateway_scene import Scene

REBORN_S = 0.3


class MortalWorker(FakeWorker):
    """Computes all that it holds in one step, but for attempts that are to be alone."""

    def __init__(self, name: str, role: str, poison: frozenset[str], life: int = 1) -> None:
        super().__init__(name, role, str(life))
        self._name, self._role, self._life_number, self._poison = name, role, life, poison
        self.deaths: list[tuple[AttemptKey, ...]] = []
        """Suspects of each death, over all lives."""
        self.scene: Scene | None = None
        self.alone: set[AttemptKey] = set()

    async def end(self, suspects: tuple[AttemptKey, ...] | None) -> None:
        """The engine dies, as its I/O process tells it; None: it leaves, as planned."""
        if suspects is None:
            self.link.say(Leaving())
        else:
            self.deaths.append(suspects)
            self.link.say(Died(suspects))
        if self.scene is not None:
            self.scene.workers.remove(self)
            asyncio.get_running_loop().create_task(self._come_back(self.scene))
        await self.die()

    async def kill(self) -> None:
        """Whatever the engine computes at this moment is suspected."""
        await self.end(self._batch())

    def hear(self, frame: Frame) -> None:
        """Remembers who is to be alone."""
        if isinstance(frame, Compute) and frame.assignment.alone:
            self.alone.add(frame.assignment.key)
        super().hear(frame)

    async def _speak(self, kind: type[Frame], assignment: Assignment, skip: int) -> None:
        if assignment.request.id in self._poison and kind in (Compute, Prefill):
            await self._clock.sleep(0.05)
            await self.end((assignment.key,) if assignment.alone else self._batch())
            return
        await super()._speak(kind, assignment, skip)

    def _batch(self) -> tuple[AttemptKey, ...]:
        return tuple(key for key in self.held if key not in self.alone)

    async def _come_back(self, scene: Scene) -> None:
        await LoopClock().sleep(REBORN_S)
        heir = MortalWorker(self._name, self._role, self._poison, self._life_number + 1)
        heir.deaths, heir.scene = self.deaths, scene
        await scene.add(heir)


def mortals(scene: Scene) -> list[MortalWorker]:
    """Those that live."""
    return [worker for worker in scene.workers if isinstance(worker, MortalWorker)]


def adopt(scene: Scene) -> list[tuple[AttemptKey, ...]]:
    """Lets the workers of a scene come back after death; returns the list of all their deaths."""
    deaths: list[tuple[AttemptKey, ...]] = []
    for worker in mortals(scene):
        worker.scene, worker.deaths = scene, deaths
    return deaths
