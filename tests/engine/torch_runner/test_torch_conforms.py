"""The torch runner keeps the promises of the Runner seam."""

from __future__ import annotations

import time

import pytest

from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from tests.engine.runner_conformance import CHECKS, Check
from tests.engine.torch_runner.conftest import FolderOf


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_oss"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_torch_runner_conforms(check: Check, kind: str, folder_of: FolderOf) -> None:
    """Each promise holds for full attention, for sliding windows, and with sinks and experts."""
    options = LoadOptions(str(folder_of(kind)), 2 << 20, time.perf_counter, dtype="fp32", block_size=8)
    check(lambda: TorchRunner.load(options))


@pytest.mark.usefixtures("torch_kernels")
@pytest.mark.parametrize("kind", ["llama", "gpt_oss"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_torch_runner_conforms_without_native_kernels(check: Check, kind: str, folder_of: FolderOf) -> None:
    """So does each where no compiler is found."""
    test_torch_runner_conforms(check, kind, folder_of)
