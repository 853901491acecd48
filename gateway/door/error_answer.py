"""One error as a client sees it: status, body in OpenAI's shape, headers that say whether to retry."""

from __future__ import annotations

import math

import msgspec

from protocol.errors import BatonError, DeadlineExceeded

MAX_RETRY_AFTER_S = 120
"""OpenAI's client stops retrying altogether when it is told to wait longer."""


def error_body(error: BatonError) -> bytes:
    """`{"error": {...}}` as JSON."""
    fields = {
        "message": error.message,
        "type": error.kind,
        "param": error.param,
        "code": error.code,
    }
    return msgspec.json.encode({"error": fields})


def error_headers(error: BatonError) -> list[tuple[str, str]]:
    """When to come back, or that coming back is useless."""
    if error.http_status in (429, 503):
        wait_s = min(MAX_RETRY_AFTER_S, max(1, math.ceil(error.retry_after_s or 1.0)))
        return [("retry-after", str(wait_s))]
    # Clients resend 408 and every 5xx by themselves.
    resent = error.http_status >= 500 or error.http_status == 408
    if isinstance(error, DeadlineExceeded) or (resent and not error.retry_helps):
        return [("x-should-retry", "false")]
    return []
