"""A door with a scripted generator behind it, in front of a test's client."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from prometheus_client import CollectorRegistry

from gateway.door.call_log import CallLog
from gateway.door.door_parts import DoorParts
from gateway.door.http_door import http_app
from gateway.door.model_card import ModelCard
from gateway.door.sources import Sources
from gateway.door.tenant import Tenant
from gateway.logbook import Logbook
from gateway.metrics import GatewayMetrics
from gateway.text.model_text import ModelText
from protocol.clock import LoopClock
from protocol.executor import InlineExecutor
from protocol.limits import Limits
from tests.gateway.door.scripted_generator import ScriptedGenerator
from tests.gateway.door.still_fleet import StillFleet
from tests.gateway.text.tiny_text import LATER, tiny_text

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def parts(
    generator: ScriptedGenerator | None = None,
    limits: Limits | None = None,
    fleet: StillFleet | None = None,
    text: ModelText | None = None,
    tenant: Tenant | None = None,
) -> DoorParts:
    """Counting ids and seeds, a context of 256 tokens."""
    ids, seeds = itertools.count(1), itertools.count(1001)
    return DoorParts(
        generator=generator or ScriptedGenerator(),
        fleet=fleet or StillFleet(),
        card=ModelCard("tiny", max_context=256, vocabulary=2048, created=1_700_000_000, fingerprint="fp"),
        text=text or tiny_text(),
        limits=limits or Limits(),
        clock=LoopClock(),
        executor=InlineExecutor(LoopClock()),
        sources=Sources(lambda: f"id{next(ids)}", lambda: next(seeds), lambda: LATER),
        metrics=GatewayMetrics(CollectorRegistry(), "tiny"),
        tenant=tenant or Tenant(),
        calls=CallLog(),
        logbook=Logbook(),
    )


@asynccontextmanager
async def client_of(made: DoorParts) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application without a socket."""
    transport = httpx.ASGITransport(http_app(made))
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield client


@asynccontextmanager
async def served(made: DoorParts) -> AsyncIterator[int]:
    """The port on 127.0.0.1 where a real server runs the application."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(http_app(made), log_level="critical", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


def chat_body(**more: Any) -> dict[str, Any]:
    """A good question."""
    return {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **more}


def completion_body(**more: Any) -> dict[str, Any]:
    """Another one."""
    return {"model": "tiny", "prompt": "hi", **more}


def events_of(text: str) -> list[Any]:
    """The data of a stream's events; `[DONE]` stays a string."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def metric(made: DoorParts, name: str, **labels: str) -> float:
    """The present value of one sample; 0 when it does not exist yet."""
    return made.metrics.registry.get_sample_value(name, labels) or 0.0


async def until(happened: Callable[[], bool], seconds: float = 2.0) -> None:
    """Waits for something that another task does."""
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.005)
