"""What a model's config.json says of its sizes. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import UnsupportedModel

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Of the text part, where a model has several."""

    vocabulary: int
    max_context: int
    """Tokens; 0: it does not say."""


def read_sizes(folder: Path) -> ModelSizes:
    """Raises UnsupportedModel if there is no config, or no vocabulary in it."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise UnsupportedModel(f"{folder / CONFIG} cannot be read: {wrong}") from wrong
    inner = config.get("text_config") if isinstance(config, dict) else None
    places = [place for place in (config, inner) if isinstance(place, dict)]
    vocabulary = _positive(places, "vocab_size")
    if not vocabulary:
        raise UnsupportedModel(f"{folder / CONFIG} gives no vocab_size")
    return ModelSizes(vocabulary, _positive(places, "max_position_embeddings"))


def _positive(places: list[dict[str, object]], key: str) -> int:
    """The first that is there; 0 if none is."""
    found = (place.get(key) for place in places)
    return next((value for value in found if isinstance(value, int) and value > 0), 0)
