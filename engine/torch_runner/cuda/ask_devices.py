"""Asks CUDA for its devices in a process of its own: who asks is left with a context of some hundred MB.

Needs no torch here.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from engine.torch_runner.device import Devices

ASK_S = 120.0
"""Importing torch from a slow disk takes long."""


def ask_devices() -> Devices:
    """As a process that is started now would see them. Never raises: then there are none, and why."""
    command = [sys.executable, "-m", "engine.torch_runner.cuda.read_devices"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, check=True)  # noqa: S603
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Devices)
    except subprocess.CalledProcessError as error:
        words = (error.stderr or "").strip().splitlines() or [str(error)]
        return Devices((), f"asking for it failed: {words[-1]}")
    except (subprocess.SubprocessError, OSError, IndexError, msgspec.MsgspecError) as error:
        return Devices((), f"asking for it failed: {error}")
