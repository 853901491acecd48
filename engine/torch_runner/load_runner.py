"""The runner for the device that the options name."""

from __future__ import annotations

from engine.runner import Runner
from engine.torch_runner.device import CPU
from engine.torch_runner.load_options import LoadOptions
from engine.torch_runner.torch_runner import TorchRunner
from protocol.errors import InvalidSpec


def load_runner(options: LoadOptions) -> Runner:
    """Loads a model. Raises UnsupportedModel if it cannot be served, InvalidSpec if an option is wrong."""
    if options.device == CPU:
        return TorchRunner.load(options)
    try:
        from engine.torch_runner.cuda.load_cuda import load_cuda  # needs triton, which CPU builds lack
    except ImportError as error:
        raise InvalidSpec(
            f"device: {options.device} needs triton; install baton-serve[cuda]", param="device"
        ) from error
    return load_cuda(options)
