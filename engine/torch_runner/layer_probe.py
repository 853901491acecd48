"""One dry forward pass that shows which layers call attention, how often, and with what shapes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.torch_runner.attention_call import AttentionCall
from engine.torch_runner.attention_hook import hang_hook
from engine.torch_runner.kv_layout import LayerShape
from engine.torch_runner.model_load import LoadedModel
from protocol.errors import UnsupportedModel

PROBE_TOKENS = 2


@dataclass(frozen=True, slots=True)
class SeenLayer:
    """What one call of the hook told."""

    layer: int
    shape: LayerShape
    window: int | None


class LayerProbe:
    """A hook that notes its calls and answers zeros."""

    def __init__(self) -> None:
        self.seen: list[SeenLayer] = []

    def __call__(self, call: AttentionCall) -> torch.Tensor:
        """Zeros of the right shape, [N, Hq, Dv]."""
        heads, _, k_dim = call.key.shape
        shape = LayerShape(heads, k_dim, call.value.shape[-1])
        self.seen.append(SeenLayer(call.layer, shape, call.window))
        return call.query.new_zeros(call.query.shape[1], call.query.shape[0], call.value.shape[-1])


def probe_layers(model: LoadedModel) -> tuple[LayerShape, ...]:
    """KV shapes per layer. Raises UnsupportedModel unless every layer calls attention exactly once
    and with the window that the config gives it."""
    probe = LayerProbe()
    hang_hook(model.network, probe)
    ids = torch.zeros(1, PROBE_TOKENS, dtype=torch.long)
    with torch.inference_mode():
        model.logits(ids, torch.arange(PROBE_TOKENS)[None], torch.tensor([PROBE_TOKENS - 1]))
    called = sorted(seen.layer for seen in probe.seen)
    kind = model.network.config.model_type
    if called != list(range(model.facts.layers)):
        raise UnsupportedModel(
            f"in a {kind} model {len(called)} of {model.facts.layers} layers run attention through the hook; "
            "each must, exactly once"
        )
    by_layer = sorted(probe.seen, key=lambda seen: seen.layer)
    windows = tuple(seen.window for seen in by_layer)
    if windows != model.facts.windows:
        raise UnsupportedModel(
            f"the layers of this {kind} model do not use the windows that its config gives"
        )
    return tuple(seen.shape for seen in by_layer)
