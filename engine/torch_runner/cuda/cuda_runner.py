"""The runner on a device. Launching waits for nothing; only a result does."""

from __future__ import annotations

import torch

from engine.arena import Arena
from engine.runner import Pending, RunnerFacts
from engine.step import Step, StepResult
from engine.torch_runner.cuda.decode_graphs import DecodeGraphs
from engine.torch_runner.cuda.device_draw import drawn_on_device, is_greedy, put_carried
from engine.torch_runner.cuda.device_forward import DeviceForward, Drawn
from engine.torch_runner.cuda.device_pending import DevicePending, Fetched, HostDraw
from engine.torch_runner.cuda.device_sampler import draw_into
from engine.torch_runner.cuda.step_batch import StepBatch
from engine.torch_runner.cuda.step_inputs import StepInputs
from engine.torch_runner.cuda.streams import Mark, Streams
from engine.torch_runner.torch_runner import FinishedStep
from protocol.errors import EngineFailed


class CudaRunner:
    """Implements the Runner seam with one step of lookahead.

    A token that is drawn on the device goes to the next step there. Where the host's sampler draws
    (penalties, biases, log probabilities), the next step waits for it.
    """

    def __init__(
        self,
        facts: RunnerFacts,
        arena: Arena,
        forward: DeviceForward,
        streams: Streams,
        graphs: DecodeGraphs | None,
    ) -> None:
        self._facts = facts
        self._arena = arena
        self._forward = forward
        self._streams = streams
        self._graphs = graphs
        self._previous: DevicePending | None = None

    @property
    def facts(self) -> RunnerFacts:
        """What this runner serves."""
        return self._facts

    @property
    def arena(self) -> Arena:
        """Its KV memory."""
        return self._arena

    @torch.inference_mode()
    def launch(self, step: Step) -> Pending:
        """Asks the device for a step. Never raises: the result does."""
        previous, self._previous = self._previous, None
        if not step.slices:
            return FinishedStep(StepResult((), 0.0))
        try:
            self._previous = self._launch(_known(step, previous), previous)
            return self._previous
        except Exception as error:
            failure = EngineFailed(f"a step of {len(step.slices)} slices raised {error!r}")
            failure.__cause__ = error
            return FinishedStep(failure)

    def _launch(self, step: Step, previous: DevicePending | None) -> DevicePending:
        batch = StepBatch.of(step, self._facts.block_size)
        drawn_before = None if previous is None else previous.drawn
        rows_before = 0 if drawn_before is None else len(drawn_before)
        batch.check(self._facts.vocabulary, self._arena.num_blocks, rows_before)
        began = self._streams.mark()
        carried = drawn_before if batch.carries else None
        drawn = self._graphs.run(batch, carried) if self._graphs else None
        if drawn is None:
            drawn = self._run_once(batch, carried)
        return self._pending(step, drawn, began)

    def _run_once(self, batch: StepBatch, carried: torch.Tensor | None) -> Drawn:
        """A step that no graph was recorded for."""
        size = StepInputs.size(batch.tokens, batch.slices, len(batch.tables.blocks))
        staging = self._streams.staging(size)
        StepInputs(staging, batch.tokens, batch.slices).fill(batch)
        buffer = staging.to(self._streams.device, non_blocking=True)
        inputs = StepInputs(buffer, batch.tokens, batch.slices)
        if carried is not None:
            put_carried(inputs.ids, inputs.carry, carried)
        tables = batch.tables
        return self._forward.run(inputs, inputs.tables(tables.singles, tables.context, tables.longest))

    def _pending(self, step: Step, drawn: Drawn, began: Mark) -> DevicePending:
        draws = [(at, part.draw) for at, part in enumerate(step.slices) if part.draw is not None]
        host_draws = [HostDraw(at, draw) for at, draw in draws if not drawn_on_device(draw)]
        sampled = [(at, draw) for at, draw in draws if drawn_on_device(draw) and not is_greedy(draw)]
        if sampled:
            draw_into(drawn.tokens, drawn.logits, sampled, self._streams)
        wanted = [drawn.tokens]
        if host_draws:
            wanted.append(_picked(drawn.logits, [one.at for one in host_draws]))
        ended = self._streams.mark()
        copies, landed = self._streams.fetch(wanted)
        fetched = Fetched(copies[0], copies[1] if host_draws else None, landed)
        return DevicePending(step, self._streams, (began, ended), drawn.tokens, fetched, host_draws)


def _picked(logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """A copy of these rows [H, vocabulary], made before a later step overwrites them."""
    if len(rows) == len(logits):
        return logits.clone()
    return torch.stack([logits[row] for row in rows])


def _known(step: Step, previous: DevicePending | None) -> Step:
    """The step with its carried tokens in their places, where the host has to draw one of them first."""
    carried = {part.carry for part in step.slices} - {None}
    if previous is None or carried.isdisjoint(previous.host_rows):
        return step
    return step.filled(previous.result().sampled)
