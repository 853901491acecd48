"""Engines without a model, for tests of what surrounds them and for planning.

Real: scheduler, blocks, links, transfers. Modelled: how long a step takes, and what it says (a hash of the
KV that it reads). Neither weights nor torch are loaded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from cluster.model_sizes import read_sizes
from cluster.spec import MockSpec
from engine.cell_chain import CELL_BYTES
from engine.modelled_runner import ModelledRunner
from engine.runner import RunnerFacts
from engine.step import Step
from protocol.messages import WIRE_VERSION
from replay.engine_times import EngineTimes


@dataclass(frozen=True, slots=True)
class MockCost:
    """Seconds of a step by the formulas of Dynamo's mock engine: its prompt tokens as one batch, and one
    decode step for whatever else is in it. Divided by the speed-up."""

    times: EngineTimes
    mock: MockSpec

    def seconds(self, step: Step) -> float:
        """How long the step takes."""
        prompt = decodes = kept = 0
        for piece in step.slices:
            count = len(piece.tokens)
            if count > 1:
                prompt += count
            else:
                decodes += 1
                kept += piece.start + 1
        seconds = self.times.prefill_s(prompt)
        if decodes:
            seconds += self.times.decode_s(min(1.0, kept / self.mock.kv_tokens))
        return seconds / self.mock.speedup


def modelled_runner(model: str, name: str, block_size: int, mock: MockSpec) -> ModelledRunner:
    """An engine that pretends to run the model in folder `model`, whose vocabulary and context it has.
    Raises UnsupportedModel if they cannot be read."""
    sizes = read_sizes(Path(model))
    blocks = mock.kv_tokens // block_size
    alike = json.dumps([WIRE_VERSION, sizes.vocabulary, block_size, CELL_BYTES])
    facts = RunnerFacts(
        model=name or Path(model).name,
        dtype="modelled",
        max_context=min(sizes.max_context or mock.kv_tokens, blocks * block_size),
        vocabulary=sizes.vocabulary,
        block_size=block_size,
        fingerprint=hashlib.sha256(f"modelled {alike}".encode()).hexdigest(),
        lookahead=1,  # it stands for a device: what Python does between two steps is not in their times
    )
    return ModelledRunner(facts, blocks, MockCost(EngineTimes(), mock))
