"""The gateway under need: the last resort, the queue, clients that leave, workers that do anything."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import (
    Busy,
    DeadlineExceeded,
    Overloaded,
    RetriesSpent,
    Stale,
    TransferFailed,
)
from protocol.messages import Compute, Failed, Join, Prefill, Reserve, StepReport, TokenDelta
from protocol.stamp import Phase
from tests.gateway.fake_worker import ANSWER_S, FakeWorker, load_of
from tests.gateway.gateway_scene import LIMITS, Scene, pair, play, request
from tests.gateway.test_service import A_MOMENT_S, SHORT, said, two_pairs


def test_without_prefill_workers_the_decode_worker_computes() -> None:
    """None in the cluster, or all of them gone: requests are answered all the same, at once."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        await scene.directory.leave(prefill.identity)
        await scene.clock.sleep(1.0)
        await prefill.die()
        await scene.clock.sleep(1.0)
        answer = await scene.ask(request())
        assert answer.tokens == said(5)
        assert answer.seconds < 1.0
        assert decode.kinds() == ["Compute"]

    play(act, *pair())


@pytest.mark.parametrize("how", ["refuses", "has a long queue"])
def test_local_prefill_is_the_last_resort_before_an_error(how: str) -> None:
    """Prefill workers that have no place for long: an idle decode worker computes the prompt."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        if how == "refuses":
            prefill.refuses[Prefill] = Busy.code
        else:
            prefill.report(load_of(queued_tokens=1_000_000))
        decode.report(load_of())
        await scene.clock.sleep(A_MOMENT_S)
        answer = await scene.ask(request())
        assert answer.tokens == said(5)
        assert decode.kinds()[-1] == "Compute"
        assert SHORT.max_place_wait_s / 2 <= answer.seconds < SHORT.max_place_wait_s

    play(act, *pair(), limits=SHORT)


def test_the_last_resort_leaves_a_decode_worker_that_is_full_alone() -> None:
    """Then it is overload, and says so."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        prefill.refuses[Prefill] = Busy.code
        decode.report(load_of(free_blocks=0))
        await scene.clock.sleep(A_MOMENT_S)
        answer = await scene.ask(request())
        assert type(answer.error) is Overloaded
        assert decode.heard == []

    play(act, *pair(), limits=SHORT)


async def _queue_up(scene: Scene, count: int, first: int = 0) -> list[asyncio.Task[None]]:
    """Requests that come one after another."""

    async def ask(name: str) -> None:
        answer = await scene.ask(request(name, max_tokens=1))
        assert answer.error is None

    tasks = []
    for number in range(first, first + count):
        tasks.append(asyncio.create_task(ask(f"r{number}")))
        await scene.clock.sleep(A_MOMENT_S)
    return tasks


def _placed(worker: FakeWorker) -> list[str]:
    """Requests in the order in which the prefill worker was asked for them."""
    return [frame.assignment.request.id for frame in worker.heard if isinstance(frame, Prefill)]


def test_who_waits_is_placed_in_order_of_arrival() -> None:
    """Nobody who comes later overtakes, also not in the moment in which a place becomes free."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        decode.refuses[Reserve] = Busy.code
        tasks = await _queue_up(scene, 6)
        decode.refuses.clear()
        tasks += await _queue_up(scene, 6, first=6)
        await asyncio.gather(*tasks)
        assert _placed(prefill) == [f"r{i}" for i in range(12)]

    play(act, *pair())


def test_a_request_that_is_planned_again_goes_first() -> None:
    """It arrived before those who wait for their first place."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        early = asyncio.create_task(scene.ask(request("early", max_tokens=30)))
        await scene.clock.sleep(A_MOMENT_S)
        decode.refuses[Reserve] = Busy.code
        tasks = await _queue_up(scene, 4)
        key = next(f.assignment.key for f in decode.heard if isinstance(f, Reserve))
        decode.link.say(Failed(key, Busy.code, "lost"))
        await scene.clock.sleep(1.0)
        decode.refuses.clear()
        assert (await early).tokens == said(30)
        await asyncio.gather(*tasks)
        asked = [str(f.assignment.request.id) for f in decode.heard if isinstance(f, Reserve)]
        admitted = sorted(set(asked), key=lambda name: len(asked) - asked[::-1].index(name))
        assert admitted in (["early", "r0", "r1", "r2", "r3"], ["r0", "early", "r1", "r2", "r3"])
        assert _placed(prefill)[0] == "early"

    play(act, *pair())


def test_a_client_that_leaves_while_it_waits_leaves_no_trace() -> None:
    """Whoever it was, first in the queue or last: the others go on in order."""

    async def act(scene: Scene) -> None:
        prefill, decode = scene.workers
        decode.refuses[Reserve] = Busy.code
        tasks = await _queue_up(scene, 5)
        for left in (0, 2, 4):
            tasks[left].cancel()
        await scene.clock.sleep(A_MOMENT_S)
        decode.refuses.clear()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [True, False] * 2 + [True]
        assert _placed(prefill) == ["r1", "r3"]
        assert scene.is_clean()

    play(act, *pair())


@pytest.mark.parametrize("local", [False, True])
def test_a_client_that_leaves_at_any_moment_leaves_nothing(local: bool) -> None:
    """Cancelled at every await of its life: no worker holds anything, and the next request is whole."""

    async def act(scene: Scene) -> None:
        for step in range(32):
            asking = asyncio.create_task(scene.ask(request(f"r{step}")))
            await scene.clock.sleep(step * ANSWER_S / 4)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert scene.is_clean()
        assert (await scene.ask(request("last"))).tokens == said(5)

    play(act, *(pair()[1:] if local else pair()))


@pytest.mark.parametrize("after", range(1, 6))
def test_a_stream_that_is_closed_after_any_token_leaves_nothing(after: int) -> None:
    """Closing the iterator is how a disconnect is told."""

    async def act(scene: Scene) -> None:
        async with aclosing(scene.gateway.generate(request())) as events:
            for _ in range(after):
                await anext(events)
        await scene.clock.sleep(0.0)
        assert scene.is_clean()

    play(act, *pair())


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_outside_the_tree_leaves_nothing(place: int) -> None:
    """A bug in a link ends the request, and holds nothing."""

    async def act(scene: Scene) -> None:
        scene.workers[place].link.fault = ValueError("odd")
        with pytest.raises(ValueError, match="odd"):
            await scene.ask(request())
        scene.workers[place].link.fault = None
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.is_clean()

    play(act, *pair())


def test_frames_of_an_older_attempt_are_dropped() -> None:
    """What the first attempt's worker says late changes nothing."""

    async def act(scene: Scene) -> None:
        asking = asyncio.create_task(scene.ask(request(max_tokens=20)))
        await scene.clock.sleep(A_MOMENT_S)
        worker = next(w for w in scene.workers[2:] if w.heard)
        key = next(f.assignment.key for f in worker.heard if isinstance(f, Reserve))
        worker.link.say(Failed(key, Stale.code, "lost"))
        for position in range(20):
            worker.link.say(StepReport((TokenDelta(key, position, (1,)),)))
        assert (await asking).tokens == said(20)
        assert scene.replans == 1

    play(act, *two_pairs())


def test_stamps_of_a_request_never_exceed_its_time() -> None:
    """Lost attempts count as waiting, once: phases add up to what the client saw until its first token."""

    async def act(scene: Scene) -> None:
        scene.workers[2].ignores = (Reserve,)
        scene.workers[0].refuses[Prefill] = Busy.code
        answer = await scene.ask(request(max_tokens=1))
        phases = {stamp.phase: stamp.seconds for stamp in answer.events[-1].stamps}
        assert phases[Phase.QUEUE] >= LIMITS.peer_deadline_s
        assert phases[Phase.RESERVE] == pytest.approx(ANSWER_S)
        assert sum(phases.values()) == pytest.approx(answer.seconds, abs=2 * ANSWER_S)
        assert sum(phases.values()) <= answer.seconds + 1e-9

    play(act, *two_pairs())


CODES = (Busy.code, TransferFailed.code, Stale.code)
trouble = st.fixed_dictionaries(
    {},
    optional={
        "refuses": st.dictionaries(st.sampled_from((Reserve, Prefill, Compute)), st.sampled_from(CODES)),
        "fails": st.dictionaries(st.sampled_from((Prefill, Join, Compute)), st.sampled_from(CODES)),
        "ignores": st.sampled_from(((Reserve,), (Prefill,), (Join,), (Compute,))),
        "dies_at_token": st.integers(0, 6),
        "skips": st.integers(0, 6),
    },
)


@settings(max_examples=60)
@given(st.lists(trouble, min_size=4, max_size=4), st.sampled_from((2.0, 600.0)))
def test_whatever_workers_do_a_request_ends_well(troubles: list[dict[str, object]], timeout_s: float) -> None:
    """A prefix of the right answer, whole or with one typed error, in time; nothing is left anywhere."""

    async def act(scene: Scene) -> None:
        for worker, wrong in zip(scene.workers, troubles, strict=True):
            for name, value in wrong.items():
                setattr(worker, name, value)
        answer = await scene.ask(request(max_tokens=6, timeout_s=timeout_s))
        assert answer.tokens == said(6)[: len(answer.tokens)]
        assert (answer.error is None) == (len(answer.tokens) == 6)
        assert type(answer.error) in (type(None), Overloaded, RetriesSpent, DeadlineExceeded)
        assert answer.seconds <= timeout_s + 1e-6
        assert scene.replans <= LIMITS.max_replans
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.is_clean()

    play(act, *two_pairs())
