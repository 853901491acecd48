"""The inbox of one attempt."""

from __future__ import annotations

import pytest

from gateway.inbox import Inbox
from protocol.clock import LoopClock
from protocol.errors import BatonError, DeadlineExceeded
from protocol.ids import AttemptKey, RequestId
from protocol.messages import Admitted, FinishReason, TokenDelta
from protocol.virtual_loop import run_virtual
from tests.gateway.fake_worker import record_of

WORKER = record_of("decode-0", "decode").address.identity


def said(number: int) -> Admitted:
    """Something with a number in it."""
    return Admitted(AttemptKey(RequestId("r"), number), 0)


def test_it_gives_out_in_order_of_arrival() -> None:
    """First in, first out, with who said it."""

    async def run() -> None:
        inbox = Inbox(LoopClock(), 8)
        for number in range(3):
            inbox.put(WORKER, said(number))
        heard = [await inbox.next(1.0) for _ in range(3)]
        assert [one.said for one in heard] == [said(0), said(1), said(2)]
        assert {one.worker for one in heard} == {WORKER}

    run_virtual(run())


def test_nothing_said_ends_the_wait_in_time() -> None:
    """DeadlineExceeded after exactly the time that was given."""

    async def run() -> None:
        clock = LoopClock()
        with pytest.raises(DeadlineExceeded):
            await Inbox(clock, 8).next(2.5)
        assert clock.now() == 2.5

    run_virtual(run())


def test_what_arrived_is_late_too_when_no_time_is_left() -> None:
    """A backlog does not carry a request past its deadline."""

    async def run() -> None:
        inbox = Inbox(LoopClock(), 8)
        inbox.put(WORKER, said(0))
        with pytest.raises(DeadlineExceeded):
            await inbox.next(0.0)

    run_virtual(run())


def test_an_overrun_ends_the_attempt_and_never_leaves_a_gap() -> None:
    """What came before the overrun is given out, then an error, though room became free between."""

    async def run() -> None:
        inbox = Inbox(LoopClock(), 2)
        for number in range(3):
            inbox.put(WORKER, said(number))
        assert (await inbox.next(1.0)).said == said(0)
        inbox.put(WORKER, said(3))
        assert (await inbox.next(1.0)).said == said(1)
        with pytest.raises(BatonError, match="too slowly"):
            await inbox.next(1.0)

    run_virtual(run())


def test_what_follows_is_taken_only_if_it_does() -> None:
    """Tokens that go on at the place asked for come out together, up to a finish; anything else stays for
    `next`."""

    async def run() -> None:
        inbox, key = Inbox(LoopClock(), 8), AttemptKey(RequestId("r"), 0)
        assert inbox.following(3) == []
        tokens = [TokenDelta(key, 3, (1,)), TokenDelta(key, 4, (2, 3)), TokenDelta(key, 9, (4,))]
        for one in tokens:
            inbox.put(WORKER, one)
        inbox.put(WORKER, said(1))
        assert [inbox.following(index) for index in (4, 3, 4, 6)] == [[], tokens[:2], [], []]
        assert [(await inbox.next(1.0)).said for _ in range(2)] == [tokens[2], said(1)]
        assert inbox.following(10) == []
        last = TokenDelta(key, 10, (5,), finish=FinishReason.LENGTH)
        for one in (last, TokenDelta(key, 11, (6,))):
            inbox.put(WORKER, one)
        assert inbox.following(10) == [last]

    run_virtual(run())
