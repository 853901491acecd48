"""What runs on a device is tested without one: run by Triton's interpreter, and compiled for a device
that is not here. One of the two is chosen before triton is imported, hence processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEADLINE_S = 1500.0


@pytest.mark.parametrize(
    ("part", "interpreted"),
    [("interpreted_attention", "1"), ("interpreted_runner", "1"), ("compiled_kernels", "0")],
)
def test_device_code_keeps_its_promises_without_a_device(part: str, interpreted: str) -> None:
    """Every test of that file passes, and there is at least one."""
    file = Path(__file__).with_name(f"{part}.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": interpreted, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
