"""What the line has to know of a request that waits for a place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.fair_order import Place

Group = tuple[str, int] | Place
"""Tenant and priority, whose requests may go in any order among themselves; a place of one's own is none."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Of one stay in the line. Places are unique among those who wait."""

    place: Place
    kin: tuple[str, int] | None = None
    """Tenant and priority; without them it goes by its place alone."""
    start_by_s: float = math.inf
    """The last moment at which its prompt can be begun in time, on the gateway's clock."""
    work_s: float = 0.0
    """Seconds of computing its prompt."""
    again: bool = False
    """Workers were asked for it already: it ran, or was refused."""

    @property
    def number(self) -> int:
        """Order of arrival."""
        return self.place[1]

    @property
    def group(self) -> Group:
        """Those with whom it may change places."""
        return self.place if self.kin is None else self.kin
