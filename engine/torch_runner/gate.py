"""The load gate: what a model must show before its first real step. Fails closed."""

from __future__ import annotations

from engine.torch_runner.attention import Attention
from engine.torch_runner.kv_layout import KvLayout
from engine.torch_runner.layer_probe import probe_layers
from engine.torch_runner.model_load import LoadedModel
from engine.torch_runner.self_test import self_test
from protocol.errors import BatonError, UnsupportedModel


def gate(model: LoadedModel, block_size: int, dtype: str, attention: Attention) -> KvLayout:
    """The KV layout of a model whose layers all use the hook and whose logits are right.
    Raises UnsupportedModel, also when the model's own code raises."""
    try:
        layout = KvLayout(probe_layers(model), block_size, dtype)
        self_test(model, layout, attention)
    except BatonError:
        raise
    except Exception as error:
        kind = model.network.config.model_type
        raise UnsupportedModel(f"this {kind} model fails its start-up self-test: {error!r}") from error
    return layout
