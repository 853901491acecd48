"""The first steps of every POST: deadline, content type, body, JSON, model."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.fields import Fields, kind
from gateway.door.refusals import NotJson, PastDeadline
from gateway.door.strict_json import parse_json
from protocol.clock import Clock
from protocol.errors import DeadlineExceeded, InvalidRequest, UnknownModel
from protocol.limits import Limits

SMALL_BYTES = 32 << 10
"""Bodies up to this size are parsed on the event loop: handing them over would take longer."""
MAX_TOLD = 16
"""Ignored fields that the answer's header names."""
TIMEOUT_HEADER = "x-stainless-read-timeout"


@dataclass(frozen=True, slots=True)
class Intake:
    """A body that is an object and asks for a model that is served."""

    fields: Fields
    deadline: float
    """On the door's clock."""
    clock: Clock

    def remaining_s(self) -> float:
        """Seconds that are left. Raises DeadlineExceeded when there are none."""
        left = self.deadline - self.clock.now()
        if left <= 0:
            raise DeadlineExceeded("the request's deadline passed before it could start")
        return left


async def take_in(exchange: Exchange, parts: DoorParts, *, model_needed: bool = True) -> Intake:
    """Raises InvalidRequest of the kind that fits."""
    timeout_s = read_timeout(exchange.header(TIMEOUT_HEADER), parts.limits)
    form = (exchange.header("content-type") or "").split(";")[0].strip().lower()
    if form != "application/json":
        raise NotJson("the content type must be application/json")
    body = await exchange.body()
    deadline = exchange.arrival + timeout_s
    if len(body) <= SMALL_BYTES:
        value = parse_json(body)
    else:
        value = await parts.executor.run(lambda: parse_json(body), timeout_s)
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body must be an object, not {kind(value)}")
    fields = Fields(value)
    _check_model(fields, parts.card.name, needed=model_needed)
    return Intake(fields, deadline, parts.clock)


def read_timeout(header: str | None, limits: Limits) -> float:
    """Seconds that the client waits, as OpenAI's client says of itself, up to a maximum."""
    if header is None:
        return limits.default_timeout_s
    try:
        timeout_s = float(header)
    except ValueError:
        timeout_s = math.nan
    if math.isnan(timeout_s):
        raise InvalidRequest(f"'{TIMEOUT_HEADER}' must be a number of seconds", param=TIMEOUT_HEADER)
    if timeout_s <= 0:
        raise PastDeadline("the request's own deadline has passed", param=TIMEOUT_HEADER)
    return min(timeout_s, limits.max_timeout_s)


def tell_ignored(exchange: Exchange, parts: DoorParts, fields: Fields) -> None:
    """Counts what nobody read, and names it in a header."""
    ignored = fields.unread()
    if not ignored:
        return
    parts.metrics.ignored_fields.inc(len(ignored))
    names = [re.sub(r"[^A-Za-z0-9_.-]", "?", name[:64]) for name in ignored[:MAX_TOLD]]
    exchange.add_header("x-baton-ignored-fields", ", ".join(names))


def _check_model(fields: Fields, served: str, *, needed: bool) -> None:
    wanted = fields.text("model", 512)
    if wanted is None and needed:
        raise fields.wrong("model", "is missing")
    if wanted is not None and wanted != served:
        raise UnknownModel(f"the model {wanted[:128]!r} does not exist here; {served!r} does", param="model")
