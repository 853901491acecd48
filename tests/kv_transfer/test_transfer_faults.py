"""Both halves of a transfer together, hurt at every moment: right tokens or one typed error, and all
blocks accounted on both sides."""

from __future__ import annotations

import pytest

from protocol.messages import Admitted
from tests.kv_transfer.duet import ANSWER, TOLD, Duet, Fault
from tests.prefill_worker.prefill_bench import job

CALM = Fault("none", -1)
MOMENTS = range(14)
"""Rounds: from before Attach until after Release."""
CODES = {"worker_lost", "transfer_failed", "stale_kv", "deadline_exceeded"}
"""All of them make the gateway plan again, or are the client's own deadline."""


def played(fault: Fault, offset_s: float = 0.0) -> Duet:
    """The whole run; whatever happened, nothing is held and no token is wrong."""
    duet = Duet(fault, offset_s)
    duet.play()
    assert duet.source.held() == 0 or fault.kind == "kill source"
    assert duet.reader.held() == {} or fault.kind == "kill reader"
    assert duet.tokens == ANSWER[: len(duet.tokens)]
    assert set(duet.failures) <= CODES
    return duet


def mended(duet: Duet) -> None:
    """The gateway plans again: the reader computes what is missing, on the same blocks."""
    sent = duet.tokens
    again = job(max_tokens=TOLD.request.max_tokens, sent=sent, attempt=2)
    duet.reader.compute(again, now=1000.0)
    assert isinstance(duet.reader.sent()[0], Admitted)
    while duet.reader.turn(1000.0):
        duet.reader.sent()
    assert (*sent, *duet.reader.tokens[again.key]) == ANSWER


@pytest.mark.parametrize("offset_s", [0.0, 3.0e7, -3.0e7])
def test_without_faults_all_tokens_come_whatever_the_clocks_say(offset_s: float) -> None:
    """Clocks that are a year apart change nothing: leases are durations on each side's own."""
    duet = played(CALM, offset_s)
    assert duet.tokens == ANSWER
    assert duet.failures == []
    assert dict(duet.source.role.counters())["expired_leases"] == 0
    assert len(duet.source.facts.agent) > 0
    assert duet.frames == 6, "Attach, Attached, three times Published, Release"


@pytest.mark.parametrize("kind", ["kill source", "hang source", "hang reader"])
@pytest.mark.parametrize("at", MOMENTS)
def test_a_side_that_dies_or_stops_at_any_moment(kind: str, at: int) -> None:
    """It ends with all tokens or one typed error; what comes back late touches nothing; then the
    rest can be computed."""
    duet = played(Fault(kind, at))
    assert duet.tokens == ANSWER or duet.failures or kind == "kill source"
    if duet.tokens != ANSWER and duet.failures:
        assert len(duet.failures) <= 2, "one a side at most"
        mended(duet)


@pytest.mark.parametrize("kind", ["kill reader", "kill gateway", "cancel"])
@pytest.mark.parametrize("at", MOMENTS)
def test_a_reader_a_gateway_or_a_client_that_goes_at_any_moment(kind: str, at: int) -> None:
    """Nothing is stranded on the side that stays: at the latest the lease brings it back."""
    played(Fault(kind, at))


@pytest.mark.parametrize("kind", ["drop frame", "double frame", "delay frame"])
@pytest.mark.parametrize("at", range(6))
def test_each_frame_of_the_wire_lost_doubled_or_late(kind: str, at: int) -> None:
    """The links promise order and no loss; without that promise it is still all tokens or one typed
    error, no block is given back twice, and what is lost is found by the lease."""
    duet = played(Fault(kind, at))
    assert duet.ended
    if kind == "double frame":
        assert duet.tokens == ANSWER
    if duet.tokens != ANSWER:
        mended(duet)
