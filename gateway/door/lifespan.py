"""The ASGI start-up and shutdown messages: the door has nothing to do for either."""

from __future__ import annotations

from starlette.types import Receive, Send


async def run_lifespan(receive: Receive, send: Send) -> None:
    """Agrees to everything until the server shuts down."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
