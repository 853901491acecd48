"""The gateway: placing, streaming, planning again, and the errors that a client sees."""

from __future__ import annotations

import asyncio

import pytest

from protocol.errors import (
    BatonError,
    Busy,
    ContextOverflow,
    DeadlineExceeded,
    EngineFailed,
    Overloaded,
    RetriesSpent,
    Stale,
    TransferFailed,
)
from protocol.limits import Limits
from protocol.messages import Compute, Frame, Join, Prefill, Reserve
from protocol.stamp import Phase
from tests.gateway.fake_worker import ANSWER_S, FakeWorker, load_of, token_at
from tests.gateway.gateway_scene import LIMITS, Scene, pair, play, request

SHORT = Limits(max_place_wait_s=10.0)
A_MOMENT_S = 5 * ANSWER_S


def said(count: int) -> list[int]:
    """The whole answer of `count` tokens."""
    return [token_at(i) for i in range(count)]


def two_pairs() -> tuple[FakeWorker, ...]:
    """Two prefill and two decode workers."""
    return tuple(FakeWorker(f"{role}-{i}", role) for role in ("prefill", "decode") for i in (0, 1))


def test_an_answer_is_whole_and_leaves_nothing() -> None:
    """Tokens in order, one finish, the phases stamped; no worker holds anything afterwards."""

    async def act(scene: Scene) -> None:
        answer = await scene.ask(request())
        assert answer.tokens == said(5)
        assert [event.first_index for event in answer.events] == list(range(5))
        assert [event.finish is not None for event in answer.events] == [False] * 4 + [True]
        first = [stamp.phase for stamp in answer.events[0].stamps]
        assert first == [Phase.QUEUE, Phase.PLAN, Phase.RESERVE, Phase.PREFILL, Phase.FIRST]
        assert scene.replans == 0
        assert scene.is_clean()

    play(act, *pair())


@pytest.mark.parametrize("dies_at", range(5))
@pytest.mark.parametrize("role", ["prefill", "decode"])
def test_a_worker_that_dies_at_any_token_costs_no_token(role: str, dies_at: int) -> None:
    """Planned again from the tokens sent, at most once: no gap, no repeat."""

    async def act(scene: Scene) -> None:
        for worker in scene.workers:
            if worker.record.role == role and worker.record.worker.endswith("0"):
                worker.dies_at_token = dies_at
        answer = await scene.ask(request())
        assert (answer.error, answer.tokens) == (None, said(5))
        assert scene.replans <= 1
        assert scene.is_clean()

    play(act, *two_pairs())


@pytest.mark.parametrize("code", [TransferFailed.code, Stale.code])
def test_lost_kv_is_computed_again_elsewhere(code: str) -> None:
    """Where there is no other prefill worker, the decode worker computes the prompt itself."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        decode.fails[Join] = code
        answer = await scene.ask(request())
        assert answer.tokens == said(5)
        assert decode.kinds() == ["Reserve", "Join", "Cancel", "Compute"]
        assert prefill.kinds() == ["Prefill", "Cancel"]
        assert scene.replans == 1

    play(act, *pair())


@pytest.mark.parametrize("kind", [Reserve, Prefill])
@pytest.mark.parametrize("error", [ContextOverflow, EngineFailed])
def test_a_refusal_that_no_other_worker_would_mend_reaches_the_client(
    kind: type[Frame], error: type[BatonError]
) -> None:
    """As that typed error, at once; nothing is held."""

    async def act(scene: Scene) -> None:
        for worker in scene.workers:
            worker.refuses[kind] = error.code
        answer = await scene.ask(request())
        assert type(answer.error) is error
        assert answer.seconds < A_MOMENT_S
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.is_clean()

    play(act, *pair())


def test_no_more_than_max_replans() -> None:
    """Then RetriesSpent, which says when to come again."""

    async def act(scene: Scene) -> None:
        for worker in scene.workers:
            worker.fails[Join] = worker.fails[Compute] = TransferFailed.code
        answer = await scene.ask(request())
        assert type(answer.error) is RetriesSpent
        assert answer.error.retry_after_s is not None
        assert scene.replans == LIMITS.max_replans
        tries = [f for w in scene.workers for f in w.heard if isinstance(f, Reserve | Compute)]
        assert len(tries) == LIMITS.max_replans + 1
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.is_clean()

    play(act, *two_pairs())


def test_a_worker_that_failed_the_request_is_not_asked_again() -> None:
    """It is avoided as long as there is another."""

    async def act(scene: Scene) -> None:
        scene.workers[2].ignores = (Reserve,)
        answer = await scene.ask(request())
        assert answer.tokens == said(5)
        assert scene.workers[2].kinds() == ["Reserve", "Cancel"]
        assert LIMITS.peer_deadline_s < answer.seconds < LIMITS.peer_deadline_s + 1.0

    play(act, *two_pairs())


def test_who_refused_is_not_asked_again_in_the_same_round() -> None:
    """A busy decode worker is tried once, not once with every prefill worker, and a busy prefill worker
    costs one reservation."""

    async def act(scene: Scene) -> None:
        full, half = scene.workers[3], scene.workers[0]
        scene.workers[1].report(load_of(queued_tokens=100))
        scene.workers[2].report(load_of(running=5))
        full.refuses[Reserve] = Busy.code
        half.refuses[Prefill] = Busy.code
        await scene.clock.sleep(A_MOMENT_S)
        answer = await scene.ask(request())
        assert answer.tokens == said(5)
        assert full.kinds() == ["Reserve", "Cancel"]
        assert half.kinds() == ["Prefill", "Cancel"]

    play(act, *two_pairs())


def test_no_place_is_overloaded_in_time_with_retry_after() -> None:
    """After max_place_wait_s, however the workers refuse; meanwhile nothing is held."""

    async def act(scene: Scene) -> None:
        for worker in scene.workers:
            worker.refuses = {Reserve: Busy.code, Compute: Busy.code}
        answer = await scene.ask(request())
        assert type(answer.error) is Overloaded
        assert answer.error.retry_after_s is not None
        assert answer.seconds == pytest.approx(SHORT.max_place_wait_s)
        assert scene.replans == 0
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.is_clean()

    play(act, *pair(), limits=SHORT)


@pytest.mark.parametrize("timeout_s", [0.0, 0.005, 3.0, SHORT.max_place_wait_s])
def test_a_deadline_while_waiting_is_not_called_overload(timeout_s: float) -> None:
    """The request's own time was up first, or at the same moment."""

    async def act(scene: Scene) -> None:
        for worker in scene.workers:
            worker.refuses = {Reserve: Busy.code, Compute: Busy.code}
        answer = await scene.ask(request(timeout_s=timeout_s))
        assert type(answer.error) is DeadlineExceeded
        assert answer.seconds == pytest.approx(timeout_s)

    play(act, *pair(), limits=SHORT)


@pytest.mark.parametrize("ignored", [(Prefill,), (Join,), (Reserve,)])
def test_every_wait_ends_with_the_deadline(ignored: tuple[type[Frame], ...]) -> None:
    """Whichever command gets no answer: one typed error, on time."""

    async def act(scene: Scene) -> None:
        for worker in scene.workers:
            worker.ignores = ignored
        answer = await scene.ask(request(timeout_s=4.0))
        assert type(answer.error) is DeadlineExceeded
        assert answer.seconds == pytest.approx(4.0)
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.is_clean()

    play(act, *pair())


def test_one_request_too_many_is_refused_at_once() -> None:
    """The bound of open requests, and room again when one ends."""

    async def act(scene: Scene) -> None:
        first = asyncio.create_task(scene.ask(request("a")))
        await scene.clock.sleep(ANSWER_S)
        refused = await scene.ask(request("b"))
        assert type(refused.error) is Overloaded
        assert refused.error.retry_after_s is not None
        assert refused.seconds == 0.0
        assert (await first).tokens == said(5)
        assert (await scene.ask(request("c"))).tokens == said(5)

    play(act, *pair(), limits=Limits(max_open_requests=1))
