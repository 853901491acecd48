"""What is promised to every request."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slo:
    """Seconds; infinite where nothing is promised."""

    first_token_s: float = math.inf
    """From the request's arrival to its first token."""
    itl_s: float = math.inf
    """Between two tokens."""
