"""A step in flight on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from engine.step import Draw, Sampled, Step, StepResult
from engine.torch_runner.cuda.device_draw import UNUSABLE
from engine.torch_runner.cuda.streams import Mark, Streams
from engine.torch_runner.sampler import sample
from protocol.errors import EngineFailed


@dataclass(frozen=True, slots=True)
class HostDraw:
    """A slice that the host's sampler draws from."""

    at: int
    """Among the slices of the step."""
    draw: Draw


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a step leaves in host memory, once `landed` is reached."""

    tokens: torch.Tensor
    """[S]"""
    logits: torch.Tensor | None
    """fp32 [H, vocabulary], of the slices that the host draws from; None without any."""
    landed: Mark


class DevicePending:
    """Nothing waits for the device but `result`. The result is worked out once."""

    def __init__(
        self,
        step: Step,
        streams: Streams,
        span: tuple[Mark, Mark],
        drawn: torch.Tensor,
        fetched: Fetched,
        host_draws: Sequence[HostDraw],
    ) -> None:
        self.drawn = drawn
        """[S] tokens, on the device."""
        self.host_rows = frozenset(one.at for one in host_draws)
        """Slices whose token `drawn` does not hold."""
        self._step = step
        self._streams = streams
        self._span = span
        self._fetched: Fetched | None = fetched
        self._host_draws = tuple(host_draws)
        self._outcome: StepResult | EngineFailed | None = None

    @property
    def seconds(self) -> float:
        """No virtual time."""
        return 0.0

    def result(self) -> StepResult:
        """Waits for the device. Raises EngineFailed if its work failed."""
        if self._outcome is None:
            self._outcome = self._work_out()
            self._fetched = None
        if isinstance(self._outcome, EngineFailed):
            raise self._outcome
        return self._outcome

    def _work_out(self) -> StepResult | EngineFailed:
        try:
            fetched = self._fetched
            if fetched is None:
                raise EngineFailed("a step has no results")
            fetched.landed.wait()
            return StepResult(self._sampled(fetched), self._streams.seconds(*self._span))
        except Exception as error:
            failure = EngineFailed(f"a step of {len(self._step.slices)} slices raised {error!r}")
            failure.__cause__ = error
            return failure

    def _sampled(self, fetched: Fetched) -> tuple[Sampled | None, ...]:
        by_host: dict[int, Sampled | None] = {}
        if fetched.logits is not None:
            drawn = sample(fetched.logits, [one.draw for one in self._host_draws])
            by_host = {one.at: sampled for one, sampled in zip(self._host_draws, drawn, strict=True)}
        return tuple(
            by_host[at] if at in by_host else None if part.draw is None else _usable(token)
            for at, (part, token) in enumerate(zip(self._step.slices, fetched.tokens.tolist(), strict=True))
        )


def _usable(token: int) -> Sampled | None:
    return None if token == UNUSABLE else Sampled(token, None)
