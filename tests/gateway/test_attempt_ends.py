"""How an attempt ends: repeats, gaps, deadlines, links that break oddly."""

from __future__ import annotations

import asyncio

import pytest

from protocol.errors import (
    DeadlineExceeded,
    TransferNeedless,
    WorkerLeaving,
    WorkerLost,
)
from protocol.messages import Failed, FinishReason, Leaving, Prefill, StepReport, TokenDelta
from tests.gateway.fake_worker import ANSWER_S, token_at
from tests.gateway.test_attempt import KEY, Site, play


def test_repeats_are_dropped_and_gaps_end_the_attempt() -> None:
    """Nothing is said twice, and a token that is missing is no reason to wait for the deadline."""

    async def act(site: Site) -> None:
        await site.run.place()
        first = await site.run.next()
        site.decode.link.say(StepReport((first, TokenDelta(KEY, 1, (1,)), TokenDelta(KEY, 1, (9,)))))
        assert (await site.run.next()).tokens == (1,)
        site.decode.link.say(StepReport((TokenDelta(KEY, 3, (3,)),)))
        with pytest.raises(WorkerLost, match="left out"):
            await site.run.next()
        assert site.run.failed_at == site.decode.identity

    play(act)


def test_a_delta_without_a_token_is_no_answer() -> None:
    """An empty success is a failure of the worker."""

    async def act(site: Site) -> None:
        await site.run.place()
        site.prefill.link.say(StepReport((TokenDelta(KEY, 0, (), finish=FinishReason.STOP),)))
        with pytest.raises(WorkerLost):
            await site.run.next()

    play(act)


def test_a_source_that_leaves_is_no_failure() -> None:
    """The decode worker may say that its source is lost before that one's link is: the end was planned, so
    the request is not charged for it."""

    async def act(site: Site) -> None:
        await site.run.place()
        site.prefill.link.say(Leaving())
        site.decode.link.say(Failed(KEY, WorkerLost.code, "the source went away"))
        with pytest.raises(WorkerLeaving):
            while True:
                await site.run.next()
        assert site.run.failed_at == site.prefill.identity

    play(act)


@pytest.mark.parametrize("sooner_s", [0.0, ANSWER_S])
def test_kv_that_nobody_needs_is_no_loss(sooner_s: float) -> None:
    """A first token that is the last: the decode worker may hear of it before the gateway hears the
    prefill worker at all."""

    async def act(site: Site) -> None:
        placing = asyncio.create_task(site.run.place())
        await site.clock.sleep(1.5 * ANSWER_S + sooner_s)
        site.decode.link.say(Failed(KEY, TransferNeedless.code, "no use"))
        await placing
        assert await site.rest() == [token_at(0)]

    play(act, lambda: Site(max_tokens=1))


def test_a_decode_worker_that_let_go_may_leave() -> None:
    """It heard that the first token will be the last, and ends before that token has come."""

    async def act(site: Site) -> None:
        await site.run.place()
        site.decode.link.say(Failed(KEY, TransferNeedless.code, "no use"))
        await site.decode.die()
        assert await site.rest() == [token_at(0)]

    play(act, lambda: Site(max_tokens=1))


@pytest.mark.parametrize("left_s", [0.0, 0.5 * ANSWER_S, 1.5 * ANSWER_S, 2.5 * ANSWER_S, 4.5 * ANSWER_S])
def test_the_deadline_of_the_request_ends_every_stage(left_s: float) -> None:
    """DeadlineExceeded, on time, whichever answer was waited for; it is nobody's fault."""

    async def act(site: Site) -> None:
        with pytest.raises(DeadlineExceeded):
            await site.run.place()
            await site.rest()
        assert site.clock.now() == pytest.approx(left_s)
        assert site.run.failed_at is None

    play(act, lambda: Site(left_s=left_s))


def test_a_link_that_breaks_oddly_leaves_nothing() -> None:
    """An error outside the tree passes through, and `end` still takes everything back."""

    async def act(site: Site) -> None:
        site.prefill.link.deaf_to = Prefill
        with pytest.raises(ValueError, match="odd"):
            await site.run.place()

    play(act)


def test_a_worker_that_has_left_by_the_time_it_is_asked_is_no_loss() -> None:
    """It said that it leaves, and its link ended between two commands: a planned end."""

    async def act(site: Site) -> None:
        placing = asyncio.create_task(site.run.place())
        await site.clock.sleep(ANSWER_S / 2)
        site.prefill.link.say(Leaving())
        await site.prefill.die()
        with pytest.raises(WorkerLeaving):
            await placing
        assert site.run.failed_at == site.prefill.identity

    play(act)
