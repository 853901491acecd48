"""Turns the weights of a loaded model into int8, once and for good: what `weights: int8` asks for.

Every matrix that a step reads whole becomes int8, the head too: of a small model with a large vocabulary it
is a large share. Embeddings stay as they are, since a step reads single rows of them; where the head is tied
to them, it becomes a copy of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from engine.torch_runner.model_load import LoadedModel
from engine.torch_runner.native.compiler import built_library
from engine.torch_runner.native.fusion import fuse
from engine.torch_runner.native.int8_kernels import Int8Kernels
from engine.torch_runner.native.int8_projections import Int8Projections
from engine.torch_runner.native.library import NativeLibrary
from protocol.errors import EngineFailed, InvalidSpec

SHOWN_NAMES = 2


def quantise(model: LoadedModel, library: NativeLibrary | None) -> None:
    """From now on the model computes with int8 weights. Raises InvalidSpec with the reason why it cannot,
    here or at all; the model is of no use then."""
    if library is None:
        raise _refused("it needs the native kernels, which cannot be built here (the log says why)")
    _check_matrices(model)
    try:
        projections = Int8Projections(Int8Kernels(built_library(), library.threads))
    except EngineFailed as error:
        raise _refused(error.message) from error
    fuse(model, library, projections)


def _check_matrices(model: LoadedModel) -> None:
    """Raises InvalidSpec unless every matrix is a bf16 weight of a plain linear module, or an embedding."""
    known = {id(weight) for weight in _known(model.network)}
    others = [
        name for name, one in model.network.named_parameters() if one.dim() > 1 and id(one) not in known
    ]
    if others:
        kind, shown = model.network.config.model_type, ", ".join(others[:SHOWN_NAMES])
        raise _refused(
            f"this {kind} model has {len(others)} weights that are no plain linear layer in bf16 ({shown})"
        )


def _known(network: nn.Module) -> Iterator[torch.Tensor]:
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            yield module.weight
        elif type(module) is nn.Linear and module.weight.dtype is torch.bfloat16:
            yield module.weight


def _refused(reason: str) -> InvalidSpec:
    return InvalidSpec(f"weights: int8 cannot be had: {reason}; write `weights: model`", param="weights")
