"""The device runner with its Triton kernels, in Triton's interpreter. Run by test_triton_kernels.py in a
process of its own."""

from __future__ import annotations

import pytest

from engine.torch_runner.cuda.triton_attention import TritonAttention
from tests.engine.runner_conformance import Check, a_batch_changes_nothing, only_computed_memory_is_read
from tests.engine.torch_runner.conftest import FolderOf
from tests.engine.torch_runner.device_runner import host_device_runner


@pytest.mark.parametrize("check", [a_batch_changes_nothing, only_computed_memory_is_read])
def test_the_runner_conforms_with_its_kernels(check: Check, folder_of: FolderOf) -> None:
    """With sliding windows, sinks and experts, in chunks and in decode steps padded to their bucket."""
    check(lambda: host_device_runner(folder_of("gpt_oss"), TritonAttention(132)))
