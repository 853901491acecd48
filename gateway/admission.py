"""Who may come in: bounded, in fair shares, and only who can be answered in time."""

from __future__ import annotations

from gateway.forecast import Forecast
from gateway.turnstile import Turnstile
from protocol.errors import Overloaded, TenantOverloaded
from protocol.limits import Limits
from protocol.request import Request

RETRY_AFTER_S = 2.0
MAX_RETRY_AFTER_S = 120.0
KEPT_SHARE = 0.25
"""Of all places inside, kept for tenants that have less than their share."""


class Admission:
    """Decides at once: a refusal costs nothing, and a late one costs the time of those who wait."""

    def __init__(self, turnstile: Turnstile, forecast: Forecast, limits: Limits) -> None:
        self._turnstile = turnstile
        self._forecast = forecast
        self._limits = limits
        self._open: dict[str, int] = {}

    @property
    def open_requests(self) -> int:
        """Requests inside."""
        return sum(self._open.values())

    def enter(self, request: Request) -> None:
        """Takes a request in; `leave` is to follow. Raises Overloaded, or TenantOverloaded."""
        most, inside = self._limits.max_open_requests, self.open_requests
        if inside >= most:
            raise Overloaded("too many open requests", retry_after_s=RETRY_AFTER_S)
        own = self._open.get(request.tenant, 0)
        tenants = len(self._open) + (own == 0)
        if inside >= (1 - KEPT_SHARE) * most and own * tenants >= most:
            raise TenantOverloaded("too many open requests of this tenant", retry_after_s=RETRY_AFTER_S)
        self._open[request.tenant] = own + 1

    def leave(self, request: Request) -> None:
        """A request has ended."""
        left = self._open.pop(request.tenant) - 1
        if left:
            self._open[request.tenant] = left

    def check(self, request: Request, ahead: int, remaining_s: float) -> None:
        """Raises Overloaded if the request, with `ahead` others before it, is predicted to miss its
        deadline, or to wait for a place longer than anybody may. Without others who wait it is always
        let through: somebody has to show that times are better."""
        if not self._turnstile.waiting:
            return
        wait_s, service_s = self._forecast.wait_s(ahead), self._forecast.service_s(request)
        late_s = max(wait_s + service_s - remaining_s, wait_s - self._limits.max_place_wait_s)
        if late_s > 0:
            raise Overloaded(
                f"{ahead} requests are ahead, so this one would end about {late_s:.1f} s too late",
                retry_after_s=min(MAX_RETRY_AFTER_S, max(1.0, late_s)),
            )
