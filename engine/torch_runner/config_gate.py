"""What a config must not ask for: rules that packed, paged attention would silently drop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from protocol.errors import UnsupportedModel

LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})
ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn", "proportional"})
"""Dynamic and longrope scale by the longest position of the whole batch."""
REFUSED_SETTINGS = {
    "attention_chunk_size": "chunked attention",
    "alibi": "ALiBi position biases",
    "use_bidirectional_attention": "bidirectional attention",
}


@dataclass(frozen=True, slots=True)
class DecoderFacts:
    """What the config says of the decoder."""

    layers: int
    vocabulary: int
    max_context: int
    windows: tuple[int | None, ...]
    """Positions that each layer may look back over, its own included; None is all."""


def check_config(config: Any) -> DecoderFacts:
    """Facts of a transformers config. Raises UnsupportedModel with the reason."""
    kind = str(config.model_type)
    if getattr(config, "quantization_config", None) is not None:
        method = _quantisation(config.quantization_config)
        raise UnsupportedModel(
            f"quantised checkpoints are not offered, and this one is quantised by {method}"
        )
    if getattr(config, "is_encoder_decoder", False) or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UnsupportedModel(f"a model of type {kind} is not a decoder-only language model")
    text = config.get_text_config(decoder=True)
    for name, what in REFUSED_SETTINGS.items():
        if getattr(text, name, None):
            raise UnsupportedModel(
                f"this {kind} model uses {what} ({name}), which paged attention would lose"
            )
    for rope in _rope_types(getattr(text, "rope_parameters", None)):
        if rope not in ROPE_TYPES:
            raise UnsupportedModel(
                f"this {kind} model scales its positions by rope type {rope}, which depends on the batch"
            )
    return DecoderFacts(
        layers=_count(text, "num_hidden_layers", kind),
        vocabulary=_count(text, "vocab_size", kind),
        max_context=_count(text, "max_position_embeddings", kind),
        windows=_windows(text, kind),
    )


def _windows(text: Any, kind: str) -> tuple[int | None, ...]:
    window = getattr(text, "sliding_window", None)
    types = getattr(text, "layer_types", None)
    if types is None:
        return (window,) * _count(text, "num_hidden_layers", kind)
    for name in types:
        if name not in LAYER_TYPES:
            raise UnsupportedModel(
                f"this {kind} model has layers of type {name}; only attention layers are known"
            )
    return tuple(window if name == "sliding_attention" else None for name in types)


def _rope_types(parameters: object) -> Iterator[str]:
    """Types in rope_parameters, which is one mapping or one per layer type."""
    if not isinstance(parameters, Mapping):
        return
    named = parameters.get("rope_type", parameters.get("type"))
    if named is not None:
        yield str(named)
    for inner in parameters.values():
        yield from _rope_types(inner)


def _quantisation(settings: object) -> str:
    method = (
        settings.get("quant_method")
        if isinstance(settings, Mapping)
        else getattr(settings, "quant_method", None)
    )
    return str(method or "an unnamed method")


def _count(text: Any, name: str, kind: str) -> int:
    number = getattr(text, name, None)
    if not isinstance(number, int) or number < 1:
        raise UnsupportedModel(f"the config of this {kind} model gives no {name}")
    return number
