"""GET /health, /ready, /metrics and /status."""

from __future__ import annotations

import msgspec
from prometheus_client.exposition import generate_latest

from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.fleet_status import status_json
from protocol.errors import Overloaded

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class HealthEndpoint:
    """This process lives; nothing else is said."""

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        await exchange.answer(200, b'{"status":"ok"}')


class ReadyEndpoint:
    """A request can be answered. Raises Overloaded while none can."""

    def __init__(self, parts: DoorParts) -> None:
        self._fleet = parts.fleet

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        if not self._fleet.ready():
            raise Overloaded("not ready: no worker can answer yet", retry_after_s=1.0)
        await exchange.answer(200, b'{"status":"ready"}')


class MetricsEndpoint:
    """Prometheus text."""

    def __init__(self, parts: DoorParts) -> None:
        self._registry = parts.metrics.registry

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        await exchange.answer(200, generate_latest(self._registry), PROMETHEUS_TEXT)


class StatusEndpoint:
    """What `baton status` shows."""

    def __init__(self, parts: DoorParts) -> None:
        self._parts = parts

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call."""
        body = status_json(self._parts.card, self._parts.fleet)
        await exchange.answer(200, msgspec.json.encode(body))
