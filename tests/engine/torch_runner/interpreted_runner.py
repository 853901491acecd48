"""The device runner with its Triton kernels, in Triton's interpreter. Run by test_triton_kernels.py in a
process of its own."""

from __future__ import annotations

import time

from engine.runner import Runner
from engine.torch_runner.cuda.triton_attention import TritonAttention
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from tests.engine.torch_runner.conftest import FolderOf
from tests.engine.torch_runner.device_runner import host_device_runner
from tests.engine.torch_runner.test_device_runner import GREEDY, after, prompts, tokens_of

STEPS = 3


def answers(runner: Runner) -> list[list[int]]:
    """What three sequences say, each step launched on the tokens of the one before."""
    step = prompts(runner, [GREEDY] * 3)
    said = [tokens_of(runner.launch(step).result().sampled)]
    while len(said) < STEPS:
        step = after(step, [2, 0, 1], None)
        said.append(tokens_of(runner.launch(step).result().sampled))
    return said


def test_the_runner_with_its_kernels_says_what_the_cpu_says(folder_of: FolderOf) -> None:
    """With sliding windows, sinks and experts: prompts in one step, then decode steps padded to their
    bucket, whose tokens are carried."""
    folder = folder_of("gpt_oss")
    cpu = TorchRunner.load(LoadOptions(str(folder), 2 << 20, time.perf_counter, dtype="fp32", block_size=8))
    ours = host_device_runner(folder, TritonAttention(multiprocessors=8), buckets=(4,))
    assert answers(ours) == answers(cpu)
