"""The HTTP door: an ASGI application that answers every call with an OpenAI-shaped answer or error."""

from __future__ import annotations

import asyncio
import logging
import re

from starlette.types import Receive, Scope, Send

from gateway.door.door_parts import DoorParts
from gateway.door.error_answer import error_body, error_headers
from gateway.door.exchange import ClientGone, Exchange, ReaderStalled
from gateway.door.fleet_collector import FleetCollector
from gateway.door.lifespan import run_lifespan
from gateway.door.refusals import BodyTooLarge, HeadersTooLarge, SlowBody, UrlTooLong
from gateway.door.routes import Routes, build_routes
from protocol.errors import BatonError
from protocol.limits import Limits

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
GONE = 499
"""For metrics: the client left before there was a status."""


def http_app(parts: DoorParts) -> HttpDoor:
    """The application; also registers the view of the workers with the metrics."""
    parts.metrics.registry.register(FleetCollector(parts.fleet))
    return HttpDoor(parts, build_routes(parts))


class HttpDoor:
    """Nothing that an endpoint raises gets past it."""

    def __init__(self, parts: DoorParts, routes: Routes) -> None:
        self._parts = parts
        self._routes = routes
        self._log = logging.getLogger("baton.door")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await run_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, Exchange(scope, receive, send, self._parts.clock, self._parts.limits))
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, exchange: Exchange) -> None:
        metrics = self._parts.metrics
        asked = exchange.header("x-request-id") or ""
        request_id = asked if REQUEST_ID.fullmatch(asked) else self._parts.sources.new_id()
        exchange.request_id = request_id
        exchange.add_header("x-request-id", request_id)
        if (exchange.header("x-stainless-retry-count") or "0") != "0":
            metrics.resent.inc()
        try:
            await self._answer(scope, exchange)
        except ReaderStalled:
            metrics.stalls.inc()  # returning without an end makes the server cut the connection
        except (ClientGone, asyncio.CancelledError) as left:
            if not exchange.finished:
                metrics.disconnects.inc()
            if isinstance(left, asyncio.CancelledError):
                raise
        finally:
            metrics.answered(self._routes.name(exchange.path), exchange.status or GONE)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        try:
            check_head(scope, self._parts.limits)
            await self._routes.find(exchange)(exchange)
        except BatonError as error:
            await self._fail(exchange, error)
        except (ClientGone, ReaderStalled):
            raise
        except Exception:
            self._log.exception("an endpoint failed: %s", exchange.path)
            await self._fail(exchange, BatonError("internal error"))

    async def _fail(self, exchange: Exchange, error: BatonError) -> None:
        """Before the first byte the true status; after it an event, and no `[DONE]`."""
        if exchange.finished:
            return
        if exchange.status:
            await exchange.finish(b"data: " + error_body(error) + b"\n\n")
            return
        for name, value in error_headers(error):
            exchange.add_header(name, value)
        if isinstance(error, BodyTooLarge | SlowBody):
            exchange.add_header("connection", "close")  # the rest of the body is not read
        await exchange.answer(error.http_status, error_body(error))


def check_head(scope: Scope, limits: Limits) -> None:
    """Raises UrlTooLong or HeadersTooLarge."""
    url: bytes = scope.get("raw_path") or b""
    if len(url) + len(scope["query_string"]) > limits.max_url_bytes:
        raise UrlTooLong(f"the URL may have at most {limits.max_url_bytes} bytes")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.max_header_bytes:
        raise HeadersTooLarge(f"the headers may have at most {limits.max_header_bytes} bytes")
