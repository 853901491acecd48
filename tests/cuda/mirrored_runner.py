"""A runner whose KV memory the conformance suite can read and write as host memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engine.arena import Arena, DeviceMemory
from engine.runner import Pending, Runner, RunnerFacts
from engine.step import Step, StepResult


@dataclass(frozen=True, slots=True)
class MirroredPending:
    """Brings the device's memory back with the result."""

    pending: Pending
    mirror: Arena
    device: torch.Tensor

    @property
    def seconds(self) -> float:
        """As it is."""
        return self.pending.seconds

    def result(self) -> StepResult:
        """The result; the mirror then shows what the step wrote."""
        try:
            return self.pending.result()
        finally:
            self.mirror.data[:] = self.device.cpu().numpy()


class MirroredRunner:
    """Every launch sees what the mirror says. One step at a time."""

    def __init__(self, runner: Runner) -> None:
        memory = runner.arena.memory
        assert isinstance(memory, DeviceMemory)
        self._runner = runner
        self._device = memory.tensor
        self.arena = Arena(np.zeros(memory.shape, np.uint8), runner.arena.generations)

    @property
    def facts(self) -> RunnerFacts:
        """As they are."""
        return self._runner.facts

    def launch(self, step: Step) -> Pending:
        """After the mirror's content is on the device."""
        self._device.copy_(torch.from_numpy(self.arena.data))
        return MirroredPending(self._runner.launch(step), self.arena, self._device)
