"""Who may come in: bounds, shares, and forecasts."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.admission import KEPT_SHARE, Admission
from gateway.fair_order import FairOrder
from gateway.forecast import MARGIN, Forecast
from gateway.ticket import Ticket
from gateway.turnstile import Turnstile
from protocol.clock import LoopClock
from protocol.errors import BatonError, Overloaded, TenantOverloaded
from protocol.limits import Limits
from protocol.request import Request
from protocol.virtual_loop import run_virtual
from tests.gateway.gateway_scene import request

MOST = 16
LIMITS = Limits(max_open_requests=MOST, max_place_wait_s=60.0)


def of(tenant: str, *, prompt: int = 40, priority: int = 0, timeout_s: float = 600.0) -> Request:
    """A request of a tenant, for 60 tokens."""
    plain = request("r", prompt=prompt, max_tokens=60, timeout_s=timeout_s)
    return replace(plain, tenant=tenant, priority=priority)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=80))
def test_bounds_and_shares_hold_whoever_comes_and_goes(visits: list[tuple[str, bool]]) -> None:
    """Never more than the bound; a tenant within its share is refused only when all is full; accounts
    add up in the end."""
    admission = Admission(Turnstile(LoopClock(), 0.25), Forecast(), LIMITS)
    inside: list[Request] = []
    for tenant, comes in visits:
        mine = [one for one in inside if one.tenant == tenant]
        if not comes:
            if mine:
                inside.remove(mine[0])
                admission.leave(mine[0])
            continue
        tenants = len({one.tenant for one in inside} | {tenant})
        try:
            admission.enter(of(tenant))
            inside.append(of(tenant))
        except TenantOverloaded as refused:
            assert len(mine) * tenants >= MOST and len(inside) >= (1 - KEPT_SHARE) * MOST
            assert (refused.http_status, refused.retry_after_s is not None) == (429, True)
        except Overloaded as refused:
            assert len(inside) == MOST
            assert refused.retry_after_s is not None
        assert admission.open_requests == len(inside) <= MOST
    for one in inside:
        admission.leave(one)
    assert admission.open_requests == 0


def _tell(forecast: Forecast) -> None:
    """A place a second; answers of 20 tokens take one second to the first and 0.1 s for each other."""
    for second in range(50):
        forecast.placed(float(second), waited=True)
        forecast.spoke(1.0, 20, 1.9)


def test_the_forecast_learns_places_and_answers() -> None:
    """Nothing is feared before it was measured; an answer is not taken to be as long as its limit."""
    forecast = Forecast()
    assert (forecast.wait_s(100), forecast.service_s(of("a"))) == (0.0, 0.0)
    _tell(forecast)
    assert forecast.wait_s(4) == pytest.approx(5.0)
    assert forecast.service_s(of("a")) == pytest.approx(MARGIN * 3.0)
    short = replace(of("a"), max_tokens=10)
    assert forecast.service_s(short) == pytest.approx(MARGIN * 2.0)


def test_who_ended_without_a_token_makes_the_forecast_worse_never_better() -> None:
    """Else only those that were in time would be asked how long it takes."""
    forecast = Forecast()
    _tell(forecast)
    before = forecast.service_s(of("a"))
    forecast.silent(0.1)
    assert forecast.service_s(of("a")) == before
    forecast.silent(11.0)
    assert forecast.service_s(of("a")) == pytest.approx(before + MARGIN * 1.0)


def _checked(ahead: int, remaining_s: float, waiting: int) -> BatonError | None:
    async def run() -> BatonError | None:
        turnstile, forecast = Turnstile(LoopClock(), 0.25), Forecast()
        _tell(forecast)
        admission = Admission(turnstile, forecast, LIMITS)

        async def wait(number: int) -> None:
            async with turnstile.turn(Ticket(number, (0.0, number), ("", 0))):
                pass

        async with AsyncExitStack() as inside:
            await inside.enter_async_context(turnstile.turn(Ticket(0, (0.0, 0), ("", 0))))
            waiters = [asyncio.create_task(wait(i + 1)) for i in range(waiting)]
            await asyncio.sleep(0)
            try:
                admission.check(of("a"), ahead, remaining_s)
                found = None
            except BatonError as refused:
                found = refused
        await asyncio.gather(*waiters)
        return found

    return run_virtual(run())


@pytest.mark.parametrize(
    ("ahead", "remaining_s", "late_s"),
    [
        (4, 600.0, None),
        (4, 9.6, None),
        (4, 9.4, 1.0),
        (49, 20.0, 34.5),
        (99, 3600.0, 40.0),
        (500, 20.0, 120.0),
    ],
)
def test_who_cannot_be_in_time_is_refused_with_a_word_on_when(
    ahead: int, remaining_s: float, late_s: float | None
) -> None:
    """Too late for its deadline, or too long without a place; Retry-After is 1 s at least and 120 s at
    most."""
    refused = _checked(ahead, remaining_s, waiting=1)
    if late_s is None:
        assert refused is None
    else:
        assert type(refused) is Overloaded
        assert refused.retry_after_s == pytest.approx(late_s)


def test_without_a_queue_everybody_may_try() -> None:
    """Bad times would never be seen to end."""
    assert _checked(500, 0.1, waiting=0) is None


TENANTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 500)), min_size=1, max_size=60)


@given(TENANTS)
def test_one_tenant_keeps_its_order_of_arrival(arrivals: list[tuple[str, int]]) -> None:
    """Whatever others send meanwhile."""
    order = FairOrder()
    places = [(tenant, order.arrive(of(tenant, prompt=tokens))) for tenant, tokens in arrivals]
    for name in "abc":
        own = [place for tenant, place in places if tenant == name]
        assert own == sorted(own)


def test_a_tenant_that_comes_late_does_not_wait_behind_all_of_another() -> None:
    """Nor does it overtake those who were there with as little as itself; who was idle saved nothing up."""
    order = FairOrder()
    much = [order.arrive(of("much")) for _ in range(100)]
    first = order.arrive(of("little"))
    assert sum(place < first for place in much) == 1
    for place in much[:50]:
        order.passed(place, 0)
    assert order.arrive(of("idle")) > much[48]
    assert order.arrive(of("idle", priority=1)) < much[0]
