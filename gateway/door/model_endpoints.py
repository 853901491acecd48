"""GET /v1/models and GET /v1/models/{id}."""

from __future__ import annotations

import msgspec

from gateway.door.exchange import Exchange
from gateway.door.model_card import ModelCard
from gateway.door.usage import Json
from protocol.errors import UnknownModel

MODEL_PREFIX = "/v1/models/"


class ModelsEndpoint:
    """The list, which has one entry."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        body = {"object": "list", "data": [model_json(self._card)]}
        await exchange.answer(200, msgspec.json.encode(body))


class ModelEndpoint:
    """One entry. Raises UnknownModel for any other name."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        wanted = exchange.path.removeprefix(MODEL_PREFIX)
        if wanted != self._card.name:
            raise UnknownModel(f"the model {wanted[:128]!r} does not exist here", param="model")
        await exchange.answer(200, msgspec.json.encode(model_json(self._card)))


def model_json(card: ModelCard) -> Json:
    """OpenAI's model object, with the context length as vLLM names it."""
    return {
        "id": card.name,
        "object": "model",
        "created": card.created,
        "owned_by": "baton",
        "root": card.name,
        "max_model_len": card.max_context,
    }
