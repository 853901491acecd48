"""Which endpoint answers which path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.door.answerer import Answerer
from gateway.door.chat_endpoint import ChatEndpoint
from gateway.door.completion_endpoint import CompletionEndpoint
from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.explain_endpoint import EXPLAIN_SUFFIX, REQUEST_PREFIX, ExplainEndpoint
from gateway.door.model_endpoints import MODEL_PREFIX, ModelEndpoint, ModelsEndpoint
from gateway.door.probe_endpoints import HealthEndpoint, MetricsEndpoint, ReadyEndpoint, StatusEndpoint
from gateway.door.refusals import UnknownPath, WrongMethod
from gateway.door.token_endpoints import DetokenizeEndpoint, TokenizeEndpoint

Endpoint = Callable[[Exchange], Awaitable[None]]
ONE_MODEL = MODEL_PREFIX + "{id}"
EXPLAIN = REQUEST_PREFIX + "{id}" + EXPLAIN_SUFFIX


class Routes:
    """A table of exact paths; two kinds of path hold a name."""

    def __init__(self, table: Mapping[str, tuple[str, Endpoint]]) -> None:
        self._table = table

    def name(self, path: str) -> str:
        """The route's name for metrics: one of few, whatever the client sends."""
        if path.startswith(MODEL_PREFIX):
            return ONE_MODEL
        if path.startswith(REQUEST_PREFIX) and path.endswith(EXPLAIN_SUFFIX):
            return EXPLAIN
        return path if path in self._table else "other"

    def find(self, exchange: Exchange) -> Endpoint:
        """Raises UnknownPath, or WrongMethod with the header that names the right one."""
        entry = self._table.get(self.name(exchange.path))
        if entry is None:
            raise UnknownPath(f"there is no {exchange.path[:200]}")
        method, endpoint = entry
        if exchange.method != method and (exchange.method, method) != ("HEAD", "GET"):
            exchange.add_header("allow", "GET, HEAD" if method == "GET" else method)
            raise WrongMethod(f"{self.name(exchange.path)} takes {method}")
        return endpoint


def build_routes(parts: DoorParts) -> Routes:
    """All paths of the door."""
    answerer = Answerer(parts)
    return Routes({
        "/v1/models": ("GET", ModelsEndpoint(parts.card)),
        ONE_MODEL: ("GET", ModelEndpoint(parts.card)),
        "/v1/completions": ("POST", CompletionEndpoint(parts, answerer)),
        "/v1/chat/completions": ("POST", ChatEndpoint(parts, answerer)),
        EXPLAIN: ("GET", ExplainEndpoint(parts)),
        "/tokenize": ("POST", TokenizeEndpoint(parts)),
        "/detokenize": ("POST", DetokenizeEndpoint(parts)),
        "/health": ("GET", HealthEndpoint()),
        "/ready": ("GET", ReadyEndpoint(parts)),
        "/metrics": ("GET", MetricsEndpoint(parts)),
        "/status": ("GET", StatusEndpoint(parts)),
    })  # fmt: skip
