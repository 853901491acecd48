"""The runner that computes: a Hugging Face decoder model, paged KV, and a sampler."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import torch

from engine.arena import Arena
from engine.runner import RunnerFacts
from engine.step import Sampled, Step, StepResult
from engine.torch_runner.attention import Attention, TorchAttention
from engine.torch_runner.device import CPU
from engine.torch_runner.dtype import choose_dtype, cpu_flags
from engine.torch_runner.forward import PagedForward
from engine.torch_runner.gate import gate
from engine.torch_runner.kv_dtype import kv_stored_in
from engine.torch_runner.kv_layout import KvLayout
from engine.torch_runner.kv_pool import allocate_arena, pool_over
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.model_folder import open_folder, resolve_model
from engine.torch_runner.model_load import LoadedModel, load_model
from engine.torch_runner.native.library import load_native
from engine.torch_runner.native.native_attention import NativeAttention
from engine.torch_runner.sampler import sample
from engine.torch_runner.weights import check_weights
from protocol.errors import EngineFailed, InvalidSpec
from protocol.messages import WIRE_VERSION


@dataclass(frozen=True, slots=True)
class FinishedStep:
    """A step that ran at once, as every step does on CPU."""

    outcome: StepResult | EngineFailed

    @property
    def seconds(self) -> float:
        """No virtual time: the step is over."""
        return 0.0

    def result(self) -> StepResult:
        """What the step produced. Raises EngineFailed if it raised."""
        if isinstance(self.outcome, EngineFailed):
            raise self.outcome
        return self.outcome


class TorchRunner:
    """Implements the Runner seam on torch."""

    def __init__(
        self,
        model: LoadedModel,
        layout: KvLayout,
        arena: Arena,
        facts: RunnerFacts,
        attention: Attention,
        now: Callable[[], float],
    ) -> None:
        self._forward = PagedForward(model, pool_over(arena, layout), attention)
        self._arena = arena
        self._facts = facts
        self._now = now
        self._drawn: tuple[Sampled | None, ...] = ()

    @classmethod
    def load(cls, options: LoadOptions) -> TorchRunner:
        """Loads, gates and self-tests a model, then allocates its KV memory.
        Raises UnsupportedModel if the model cannot be served, InvalidSpec if an option is wrong."""
        if options.device != CPU:
            raise InvalidSpec(f"this runner computes on the CPU, not on {options.device}", param="device")
        if options.threads:
            torch.set_num_threads(options.threads)
        dtype = choose_dtype(options.dtype, cpu_flags())
        check_weights(options.weights, dtype)
        folder = open_folder(resolve_model(options.model))
        model = load_model(folder, dtype)
        native = load_native(torch.get_num_threads())
        attention = TorchAttention() if native is None else NativeAttention(native)
        stored = kv_stored_in(options.kv_dtype, dtype, native)
        layout = gate(model, options.block_size, stored, attention, native, options.weights)
        arena = allocate_arena(layout.blocks_in(options.kv_bytes), layout.block_bytes)
        facts = describe(options, model, layout, arena, folder.digest(), lookahead=0)
        return cls(model, layout, arena, facts, attention, options.now)

    @property
    def facts(self) -> RunnerFacts:
        """What this runner serves."""
        return self._facts

    @property
    def arena(self) -> Arena:
        """Its KV memory."""
        return self._arena

    @torch.inference_mode()
    def launch(self, step: Step) -> FinishedStep:
        """Runs the step to its end."""
        began = self._now()
        try:
            sampled = self._drawn = self._compute(step.filled(self._drawn))
        except Exception as error:
            failure = EngineFailed(f"a step of {len(step.slices)} slices raised {error!r}")
            failure.__cause__ = error
            return FinishedStep(failure)
        return FinishedStep(StepResult(sampled, self._now() - began))

    def _compute(self, step: Step) -> tuple[Sampled | None, ...]:
        if not step.slices:
            return ()
        draws = [part.draw for part in step.slices if part.draw is not None]
        drawn = iter(sample(self._forward.run(step), draws))
        return tuple(None if part.draw is None else next(drawn) for part in step.slices)


def describe(
    options: LoadOptions, model: LoadedModel, layout: KvLayout, arena: Arena, digest: str, lookahead: int
) -> RunnerFacts:
    """The facts of a loaded model; `digest` is its folder's."""
    return RunnerFacts(
        model=options.name or PurePath(options.model).name,
        dtype=layout.computed,
        max_context=_max_context(options, model, arena),
        vocabulary=model.facts.vocabulary,
        block_size=options.block_size,
        fingerprint=_fingerprint(layout, options.weights, digest),
        lookahead=lookahead,
    )


def _max_context(options: LoadOptions, model: LoadedModel, arena: Arena) -> int:
    """The tightest of what the model, the operator and the memory allow."""
    fits = arena.num_blocks * options.block_size
    wanted = options.max_context or model.facts.max_context
    return min(wanted, model.facts.max_context, fits)


def _fingerprint(layout: KvLayout, weights: str, digest: str) -> str:
    """sha256 hex of the wire version, the layout, the weights' format, which changes the KV that is
    computed, and the model's files (config, rope and weights)."""
    text = f"baton-kv-{WIRE_VERSION}|{layout.describe()}|{weights}|{digest}"
    return hashlib.sha256(text.encode()).hexdigest()
