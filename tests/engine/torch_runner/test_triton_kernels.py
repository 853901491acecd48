"""What runs on a device is tested without one: by Triton's interpreter, which has to be chosen before
triton is imported, hence in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DEADLINE_S = 1500.0


@pytest.mark.parametrize("part", ["interpreted_attention", "interpreted_runner"])
def test_device_code_keeps_its_promises_in_the_interpreter(part: str) -> None:
    """Every test of that file passes, and there is at least one."""
    file = Path(__file__).with_name(f"{part}.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
