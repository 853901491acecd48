"""On whose behalf a request runs."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. Its salt keeps its prefix cache apart from everybody else's."""

    name: str = "default"
    salt: bytes = b""
    min_priority: int = -100
    max_priority: int = 100

    def salt_with(self, cache_salt: str) -> bytes:
        """The client's own salt refines the tenant's and never replaces it."""
        if not cache_salt:
            return self.salt
        return hmac.new(self.salt, cache_salt.encode(), hashlib.sha256).digest()
