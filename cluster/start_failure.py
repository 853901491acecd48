"""Why a replica could not start, carried through Serve's status texts unharmed.

Serve reports a constructor that raised as a formatted traceback; the mark inside is what the operator
is meant to read.
"""

from __future__ import annotations

import base64
import json
import re

from protocol.errors import BatonError, EngineFailed, error_from_code

MARK = re.compile(r"\[\[baton-failure ([A-Za-z0-9_=-]+)\]\]")


class StartFailure(Exception):
    """Raised by a replica's constructor in place of a BatonError."""

    def __init__(self, who: str, error: BatonError) -> None:
        told = base64.urlsafe_b64encode(json.dumps([who, error.code, error.message]).encode())
        super().__init__(f"{who}: {error.message} [[baton-failure {told.decode()}]]")


def find_failure(text: str) -> BatonError | None:
    """The error in a status text that a StartFailure went into, or None."""
    for told in reversed(MARK.findall(text)):
        try:
            who, code, message = json.loads(base64.urlsafe_b64decode(told))
        except ValueError:
            continue
        return error_from_code(code, f"{who}: {message}")
    return None


def last_line(text: str) -> BatonError:
    """For a failure that is none of ours: what Serve says of it, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return EngineFailed(lines[-1] if lines else "a replica did not start")
