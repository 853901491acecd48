"""Paged, chunked, batched fp32 computing says token for token what transformers' generate says.

Equality is promised where the reference's top-2 margin exceeds rounding, so prompts are searched, from
a fixed seed on, until every margin of the answer is above MARGIN_FLOOR.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count

import pytest

from engine.runner import Runner
from engine.step import Slice
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from tests.engine.runner_conformance import Tale, launch
from tests.engine.tiny_models import KINDS, clear_prompt
from tests.engine.torch_runner.conftest import FolderOf

LENGTHS = (1, 15, 16, 17, 700)
BATCH = 16
ANSWER = 12
CHUNK = 96
BLOCK_SIZE = 16


@dataclass
class Reader:
    """One sequence on its way: computes its prompt in chunks, then says one token per step."""

    tale: Tale
    expected: list[int]
    begins: int
    computed: int = 0
    said: list[int] = field(default_factory=list)

    def due(self) -> Slice:
        """The next slice."""
        end = min(len(self.tale.prompt) + len(self.said), self.computed + CHUNK)
        return self.tale.slice(self.said, self.computed, end)


def read_together(runner: Runner, readers: list[Reader]) -> None:
    """Steps until all have answered; reader i joins at step `begins`."""
    for turn in count():
        active = [one for one in readers if one.begins <= turn and len(one.said) < ANSWER]
        if not active and all(one.begins <= turn for one in readers):
            return
        parts = [one.due() for one in active]
        for one, part, sampled in zip(active, parts, launch(runner, *parts), strict=True):
            one.computed += len(part.tokens)
            if sampled is not None:
                one.said.append(sampled.token)


def load(folder_of: FolderOf, kind: str, dtype: str = "fp32") -> TorchRunner:
    """A runner with 1 to 10 MB of KV."""
    options = LoadOptions(
        str(folder_of(kind)), 10 << 20, time.perf_counter, dtype=dtype, block_size=BLOCK_SIZE
    )
    return TorchRunner.load(options)


def blocks_for(length: int) -> int:
    """Blocks of a prompt of `length` and its answer."""
    return -(-(length + ANSWER) // BLOCK_SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_staggered_batch_equals_generate(kind: str, folder_of: FolderOf) -> None:
    """Sixteen prompts of 1 to 700 tokens that join at different steps, each chunked beside the
    others' decoding, in scattered blocks, answer like generate does for each alone."""
    runner = load(folder_of, kind)
    free = list(range(runner.arena.num_blocks))
    free = free[::2] + free[1::2]
    readers = []
    for number in range(BATCH):
        length = LENGTHS[number % len(LENGTHS)] if number < 10 else 31 * number % 130 + 2
        prompt, expected = clear_prompt(folder_of(kind), length, ANSWER, start=1000 * number)
        table = tuple(free.pop() for _ in range(blocks_for(length)))
        readers.append(Reader(Tale(f"{number}", tuple(prompt), table), expected, begins=number * 2 % 7))
    read_together(runner, readers)
    assert [one.said for one in readers] == [one.expected for one in readers]


@pytest.mark.usefixtures("torch_kernels")
@pytest.mark.parametrize("kind", KINDS)
def test_a_staggered_batch_equals_generate_without_native_kernels(kind: str, folder_of: FolderOf) -> None:
    """So does the torch fallback."""
    test_a_staggered_batch_equals_generate(kind, folder_of)


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_oss"])
def test_a_shared_prefix_equals_generate(kind: str, folder_of: FolderOf) -> None:
    """A prompt whose first blocks were computed for another answers as if nothing was shared."""
    runner = load(folder_of, kind)
    prompt, expected = clear_prompt(folder_of(kind), 70, ANSWER)
    table = tuple(range(blocks_for(70)))
    first = Reader(Tale("first", tuple(prompt), table), expected, 0)
    read_together(runner, [first])
    shared = 4 * BLOCK_SIZE
    own = (*table[:4], *range(50, 50 + len(table) - 4))
    second = Reader(Tale("second", tuple(prompt), own), expected, 0, computed=shared)
    third = Reader(Tale("third", tuple(prompt), tuple(range(80, 80 + len(table)))), expected, 1)
    read_together(runner, [second, third])
    assert (first.said, second.said, third.said) == (expected, expected, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_passes_the_gate_and_speaks(kind: str, folder_of: FolderOf) -> None:
    """Every shape also loads in bf16, where the self-test allows for its rounding, with half the bytes."""
    runner = load(folder_of, kind, "bf16")
    assert runner.facts.dtype == "bfloat16"
    assert runner.arena.block_bytes * 2 == load(folder_of, kind).arena.block_bytes
    reader = Reader(Tale("bf16", tuple(range(10, 60)), tuple(range(4))), [], 0)
    read_together(runner, [reader])
    assert len(reader.said) == ANSWER
