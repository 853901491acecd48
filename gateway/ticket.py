"""What the line has to know of a request that waits for a place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.fair_order import Place

Kin = tuple[str, int]
"""Tenant and priority, whose requests may go in any order among themselves."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Of one stay in the line. Places are unique among those who wait, and so are numbers."""

    number: int
    """Order of arrival."""
    place: Place
    kin: Kin
    start_by_s: float = math.inf
    """The last moment at which its prompt can be begun in time, on the gateway's clock."""
    work_s: float = 0.0
    """Seconds of computing its prompt."""
    again: bool = False
    """It ran already, and its client waits for the next token."""
