"""The runner on a device says what the CPU says."""

from __future__ import annotations

import time

import pytest
import torch

from engine.step import Draw, Slice, Step
from engine.torch_runner.cuda.cuda_runner import CudaRunner
from engine.torch_runner.cuda.load_cuda import load_cuda
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.load_runner import load_runner
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import InvalidSpec
from protocol.ids import AttemptKey, RequestId
from protocol.sampling import Sampling
from tests.cuda.mirrored_runner import MirroredRunner
from tests.engine.runner_conformance import CHECKS, Check, Tale
from tests.engine.tiny_models import KINDS, clear_prompt
from tests.engine.torch_runner.conftest import FolderOf
from tests.engine.torch_runner.test_device_runner import GREEDY, TOLD, WARM, after, prompts, tokens_of
from tests.engine.torch_runner.test_torch_greedy import (
    ANSWER,
    BATCH,
    LENGTHS,
    Reader,
    blocks_for,
    read_together,
)


def options(folder_of: FolderOf, kind: str, **changes: object) -> LoadOptions:
    """On the first device."""
    settings = {"kv_bytes": 10 << 20, "dtype": "fp32", "device": "cuda", **changes}
    return LoadOptions(str(folder_of(kind)), now=time.perf_counter, **settings)  # type: ignore[arg-type]


def load(folder_of: FolderOf, kind: str, **changes: object) -> CudaRunner:
    """A small runner there."""
    return load_cuda(options(folder_of, kind, **changes))


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_oss"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_cuda_runner_conforms(check: Check, kind: str, folder_of: FolderOf) -> None:
    """Every promise of the seam holds on a device, fp32."""
    check(lambda: MirroredRunner(load(folder_of, kind, kv_bytes=2 << 20, block_size=8)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_staggered_batch_on_a_device_equals_generate(kind: str, folder_of: FolderOf) -> None:
    """Chunks beside decode steps answer as transformers does for each prompt alone, on CPU."""
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


@pytest.mark.parametrize("samplings", [[GREEDY] * 5, [GREEDY, WARM, GREEDY], [WARM, TOLD]])
def test_carried_tokens_on_a_device_are_those_of_the_cpu(
    samplings: list[Sampling], folder_of: FolderOf
) -> None:
    """Two steps in flight, tokens carried on the device, give what the CPU gives step by step."""
    cpu = TorchRunner.load(options(folder_of, "llama", device="cpu", block_size=8))
    order = list(reversed(range(len(samplings))))
    step = prompts(cpu, samplings)
    expected: list[list[int]] = []
    for _ in range(8):
        expected.append(tokens_of(cpu.launch(step).result().sampled))
        step = after(step, order, expected[-1])
    runner = load(folder_of, "llama", block_size=8)
    step = prompts(runner, samplings)
    pending, said = runner.launch(step), []
    for _ in range(7):
        step = after(step, order, None)
        following = runner.launch(step)
        said.append(tokens_of(pending.result().sampled))
        pending = following
    said.append(tokens_of(pending.result().sampled))
    assert said == expected


def test_launching_steps_never_waits_for_the_device(folder_of: FolderOf) -> None:
    """Neither a prompt nor decode steps on carried tokens: torch raises at any wait."""
    runner = load(folder_of, "llama", block_size=8)
    step = prompts(runner, [GREEDY, WARM, GREEDY])
    runner.launch(step).result()
    torch.cuda.set_sync_debug_mode("error")
    try:
        first = runner.launch(step)
        second = runner.launch(after(step, [0, 1, 2], None))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert first.result().seconds > 0 and second.result().seconds > 0


def test_a_dense_model_decodes_by_graphs(folder_of: FolderOf, caplog: pytest.LogCaptureFixture) -> None:
    """Recording its decode steps succeeds; a model that cannot be recorded is told in the log."""
    load(folder_of, "llama")
    assert "without CUDA graphs" not in caplog.text


def test_auto_is_bf16_on_a_device(folder_of: FolderOf) -> None:
    """Where the device multiplies it, which the self-test then judges."""
    runner = load(folder_of, "llama", dtype="auto")
    assert (runner.facts.dtype, runner.facts.lookahead) == ("bfloat16", 1)
    part = Slice(AttemptKey(RequestId("a"), 0), [5, 6], 0, [1], Draw(GREEDY, 0, [5, 6], ()))
    assert runner.launch(Step((part,))).result().sampled[0] is not None


def test_more_kv_than_the_device_has_is_refused(folder_of: FolderOf) -> None:
    """One sentence, before the model is loaded; so is a device that is not there."""
    with pytest.raises(InvalidSpec, match=r"kv_memory: .* do not fit"):
        load_runner(options(folder_of, "llama", kv_bytes=1 << 50))
    with pytest.raises(InvalidSpec, match="there is no cuda:99; this machine has cuda:0"):
        load_runner(options(folder_of, "llama", device="cuda:99"))
