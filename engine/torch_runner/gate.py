"""The load gate: what a model must show before its first real step. Fails closed."""

from __future__ import annotations

import logging

import torch

from engine.torch_runner.attention import Attention
from engine.torch_runner.kv_layout import KvLayout
from engine.torch_runner.layer_probe import probe_layers
from engine.torch_runner.model_load import LoadedModel
from engine.torch_runner.native.fusion import fuse
from engine.torch_runner.native.library import NativeLibrary
from engine.torch_runner.native.quantise import quantise
from engine.torch_runner.self_test import eager_logits, self_test
from protocol.errors import BatonError, InvalidSpec, UnsupportedModel

logger = logging.getLogger(__name__)


def gate(
    model: LoadedModel,
    block_size: int,
    dtype: str,
    attention: Attention,
    native: NativeLibrary | None,
    weights: str = "model",
) -> KvLayout:
    """The KV layout of a model whose layers all use the hook and whose logits are right, with native
    kernels in it where these are right too; `dtype` is what KV is stored in. Raises UnsupportedModel,
    also when the model's code raises, and InvalidSpec if `weights` or KV are to be int8 and cannot be."""
    try:
        layout = KvLayout(probe_layers(model), block_size, dtype)
        expected = eager_logits(model)
        if weights == "int8":
            _quantised(model, layout, attention, native, expected)
        elif native is None or not _fused(model, layout, attention, native, expected):
            self_test(model, layout, attention, expected)
    except UnsupportedModel as error:
        if dtype == "int8":
            raise InvalidSpec(f"with kv_dtype: int8, {error.message}", param="kv_dtype") from error
        raise
    except BatonError:
        raise
    except Exception as error:
        kind = model.network.config.model_type
        raise UnsupportedModel(f"this {kind} model fails its start-up self-test: {error!r}") from error
    return layout


def _fused(
    model: LoadedModel,
    layout: KvLayout,
    attention: Attention,
    native: NativeLibrary,
    expected: torch.Tensor,
) -> bool:
    """Whether the model is right with native kernels in the place of its modules; if not, they go."""
    fused = fuse(model, native)
    try:
        _check(model, layout, attention, expected)
    except Exception as error:
        fused.undo()
        logger.warning("this model runs without fused kernels, which do not suit it: %s", error)
        return False
    return True


def _check(model: LoadedModel, layout: KvLayout, attention: Attention, expected: torch.Tensor) -> None:
    """Raises UnsupportedModel unless the model is right with what was put in the place of its modules."""
    if probe_layers(model) != layout.layers:
        raise UnsupportedModel("its layers call attention otherwise than before")
    self_test(model, layout, attention, expected)


def _quantised(
    model: LoadedModel,
    layout: KvLayout,
    attention: Attention,
    native: NativeLibrary | None,
    expected: torch.Tensor,
) -> None:
    """From here on with int8 weights, if these are near enough; what they replace is gone."""
    quantise(model, native)
    try:
        _check(model, layout, attention, expected)
    except UnsupportedModel as error:
        raise InvalidSpec(f"with weights: int8, {error.message}", param="weights") from error
