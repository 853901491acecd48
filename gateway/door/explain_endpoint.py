"""GET /v1/requests/{id}/explain."""

from __future__ import annotations

import msgspec

from gateway.door.call_log import MAX_ENDED
from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.explain_json import explain_json
from gateway.door.refusals import UnknownRequest

REQUEST_PREFIX = "/v1/requests/"
EXPLAIN_SUFFIX = "/explain"


class ExplainEndpoint:
    """Why a request went where it went. A tenant sees its own requests; others do not exist for it."""

    def __init__(self, parts: DoorParts) -> None:
        self._parts = parts

    async def __call__(self, exchange: Exchange) -> None:
        """Answers one call. Raises UnknownRequest."""
        parts = self._parts
        name = exchange.path.removeprefix(REQUEST_PREFIX).removesuffix(EXPLAIN_SUFFIX)
        note = parts.calls.find(parts.tenant.name, name)
        if note is None:
            raise UnknownRequest(
                f"this gateway knows no request {name[:128]!r}: it remembers those that are open and the "
                f"last {MAX_ENDED}. Ask the gateway that answered it, with the id of the answer or its "
                "x-request-id"
            )
        now = parts.clock.now()
        found = (parts.logbook.find(sequence, now) for sequence in note.sequences)
        records = [record for record in found if record is not None]
        await exchange.answer(200, msgspec.json.encode(explain_json(note, records)))
