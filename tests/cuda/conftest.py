"""Without a device nothing is collected, and the run says so and fails."""

from __future__ import annotations

import pytest
import torch

from tests.engine.torch_runner.conftest import folder_of, one_thread

__all__ = ["folder_of", "one_thread"]

NO_DEVICE = 2
"""Exit status."""


def pytest_configure() -> None:
    """Before anything is collected."""
    if not torch.cuda.is_available():
        pytest.exit("these tests need a CUDA device, and torch finds none here", NO_DEVICE)
