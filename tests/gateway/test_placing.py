"""Where a request goes, and when: woken by what workers say, told where its prefix lies."""

from __future__ import annotations

import asyncio

import pytest

from protocol.block_hash import chain_root, hash_chain
from protocol.errors import Busy
from protocol.kv_events import Cleared, Evicted, KvDumpWanted, Stored, packed_keys
from protocol.load_report import OwnLoad
from protocol.messages import Compute, Prefill, Reserve
from protocol.request import Request
from tests.gateway.fake_worker import ANSWER_S, NOTHING, FakeWorker, load_of
from tests.gateway.gateway_scene import LIMITS, Scene, pair, play, request
from tests.gateway.test_service import A_MOMENT_S, said

TICK_S = 2 * LIMITS.report_every_s
HELD = 100
"""Blocks of a prompt that somebody holds."""


def keys_of(asked: Request, blocks: int = HELD) -> bytes:
    """As a worker would tell them."""
    return packed_keys(hash_chain(chain_root(b"fake-1", asked.salt), asked.prompt, 16)[:blocks])


def decoders() -> tuple[FakeWorker, FakeWorker]:
    """Two workers that compute their own prompts."""
    return FakeWorker("decode-0", "decode"), FakeWorker("decode-1", "decode")


def test_a_place_is_taken_in_the_moment_in_which_it_is_told() -> None:
    """A report that there is room wakes who waits; nobody looks for it again and again."""

    async def act(scene: Scene) -> None:
        decode = scene.workers[1]
        decode.report(load_of(free_blocks=0))
        await scene.clock.sleep(A_MOMENT_S)
        asking = asyncio.create_task(scene.ask(request(max_tokens=1)))
        await scene.clock.sleep(3.137)
        assert decode.heard == []
        told_at = scene.clock.now()
        decode.report(load_of())
        answer = await asking
        assert answer.tokens == said(1)
        assert scene.clock.now() - told_at == pytest.approx(3 * ANSWER_S)

    play(act, *pair())


def test_a_place_is_taken_in_the_moment_in_which_another_request_ends() -> None:
    """This gateway need not be told what it ended itself."""

    async def act(scene: Scene) -> None:
        decode = scene.workers[1]
        first = asyncio.create_task(scene.ask(request("first", max_tokens=30)))
        await scene.clock.sleep(A_MOMENT_S)
        decode.refuses[Reserve] = Busy.code
        second = asyncio.create_task(scene.ask(request("second", max_tokens=1)))
        await scene.clock.sleep(A_MOMENT_S)
        decode.refuses.clear()
        await first
        ended_at = scene.clock.now()
        assert (await second).tokens == said(1)
        assert scene.clock.now() - ended_at <= 3 * ANSWER_S + 0.01

    play(act, *pair())


def test_who_refuses_is_asked_once_for_each_thing_that_it_says() -> None:
    """Waiting costs its worker a question a report, however many wait."""

    async def act(scene: Scene) -> None:
        decode = scene.workers[1]
        decode.refuses[Reserve] = Busy.code
        asking = [asyncio.create_task(scene.ask(request(f"r{i}"))) for i in range(8)]
        await scene.clock.sleep(2.0)
        assert decode.kinds().count("Reserve") <= 2.0 / LIMITS.report_every_s + 8
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    play(act, *pair())


def test_a_worker_with_more_than_a_step_of_prompts_is_waited_for() -> None:
    """The request holds nothing there, and goes when the queue is short."""

    async def act(scene: Scene) -> None:
        decode = scene.workers[0]
        decode.report(load_of(queued_tokens=100_000))
        await scene.clock.sleep(A_MOMENT_S)
        asking = asyncio.create_task(scene.ask(request()))
        await scene.clock.sleep(2.0)
        assert decode.heard == []
        decode.report(load_of(queued_tokens=10))
        assert (await asking).tokens == said(5)

    play(act, FakeWorker("decode-0", "decode"))


@pytest.mark.parametrize("remote", [False, True])
def test_the_computing_worker_is_told_where_the_prefix_lies(remote: bool) -> None:
    """By name and address of its holder, with a transfer of its own; the holder itself is told nothing."""

    async def act(scene: Scene) -> None:
        asked = request(prompt=3200)
        holder = scene.workers[0]
        holder.say_kv(Cleared(), Stored(keys_of(asked)))
        holder.report(load_of(running=40, queued_tokens=500))
        await scene.clock.sleep(A_MOMENT_S)
        assert (await scene.ask(asked)).tokens == said(5)
        opened = next(f for f in scene.workers[1].heard if isinstance(f, Compute | Prefill))
        assert opened.prefix is not None
        assert (opened.prefix.source, opened.prefix.blocks) == (holder.record.address, HELD)
        assert not isinstance(opened, Prefill) or opened.prefix.transfer != opened.transfer
        assert holder.heard == [] or remote

    first, second = decoders()
    play(act, *((first, FakeWorker("prefill-0", "prefill")) if remote else (first, second)), local=not remote)


def test_in_place_needs_no_pull() -> None:
    """The holder of the prefix computes the rest, and what it saved counts as no load."""

    async def act(scene: Scene) -> None:
        asked = request(prompt=3200)
        scene.workers[1].say_kv(Cleared(), Stored(keys_of(asked)))
        await scene.clock.sleep(A_MOMENT_S)
        asking = asyncio.create_task(scene.ask(asked))
        await scene.clock.sleep(ANSWER_S / 2)
        opened = next(f for f in scene.workers[1].heard if isinstance(f, Compute))
        assert opened.prefix is None
        assert scene.fleet.links()[1].desk.open_tokens == 3200 - HELD * 16
        assert (await asking).tokens == said(5)

    play(act, *decoders(), local=True)


def test_whoever_missed_events_asks_for_all_of_them() -> None:
    """At the rhythm of reports, until they come; the entries stay meanwhile."""

    async def act(scene: Scene) -> None:
        worker = scene.workers[0]
        asked = request(prompt=3200)
        worker.say_kv(Cleared(), Stored(keys_of(asked)))
        await scene.clock.sleep(TICK_S)
        assert worker.heard == []
        worker.kv_sequence += 5
        worker.say_kv(Evicted(keys_of(asked, 1)))
        await scene.clock.sleep(2 * TICK_S)
        assert set(worker.kinds()) == {"KvDumpWanted"}
        assert worker.heard[0] == KvDumpWanted(worker.identity)
        worker.say_kv(Cleared(), Stored(keys_of(asked, 50)))
        await scene.clock.sleep(A_MOMENT_S)
        count = len(worker.heard)
        await scene.clock.sleep(2 * TICK_S)
        assert len(worker.heard) == count
        assert (await scene.ask(asked)).tokens == said(5)
        record = scene.gateway.logbook.find(asked.id, 0.0)
        assert record is not None and record.placed is not None
        assert record.placed.plan.held_tokens == 50 * 16

    play(act, FakeWorker("decode-0", "decode"))


def test_what_a_life_held_is_forgotten_with_it() -> None:
    """Not with its link: it may come back with all of it."""

    async def act(scene: Scene) -> None:
        worker = scene.workers[0]
        asked = request(prompt=3200)
        worker.say_kv(Cleared(), Stored(keys_of(asked)))
        await scene.clock.sleep(A_MOMENT_S)
        await worker.die()
        await scene.clock.sleep(A_MOMENT_S)
        assert scene.outlook.index.entries() == HELD
        await scene.directory.leave(worker.identity)
        await scene.clock.sleep(2 * TICK_S)
        assert scene.outlook.index.entries() == 0
        assert len(scene.outlook.board) == 0

    play(act, FakeWorker("decode-0", "decode"))


def test_each_gateway_sees_what_others_have_there() -> None:
    """A worker that is busy for others is avoided before this gateway has sent anything there."""

    async def act(scene: Scene) -> None:
        scene.workers[0].report(load_of(running=9, queued_tokens=300), NOTHING)
        await scene.clock.sleep(A_MOMENT_S)
        for number in range(3):
            assert (await scene.ask(request(f"r{number}"))).tokens == said(5)
        assert scene.workers[0].heard == []
        scene.workers[0].report(load_of(running=9, queued_tokens=300), OwnLoad(300, 9))
        await scene.clock.sleep(A_MOMENT_S)
        places = [scene.outlook.board.place(worker.identity) or 0 for worker in scene.workers]
        assert [scene.outlook.board.columns.running[place] for place in places] == [0, 0]

    play(act, *decoders(), local=True)


def test_a_request_is_planned_with_the_tokens_that_it_sent() -> None:
    """The chain of its blocks goes on where the answer went on."""

    async def act(scene: Scene) -> None:
        asked = request(prompt=40, max_tokens=100)
        scene.workers[0].report(load_of(running=1))
        scene.workers[1].dies_at_token = 60
        await scene.clock.sleep(A_MOMENT_S)
        assert (await scene.ask(asked)).tokens == said(100)
        opened = [f for worker in scene.workers for f in worker.heard if isinstance(f, Compute)]
        assert sorted(len(frame.assignment.sent) for frame in opened) == [0, 60]
        record = scene.gateway.logbook.find(asked.id, 0.0)
        assert record is not None
        assert [note.plan.tokens for note in record.notes] == [40, 100]

    play(act, *decoders(), local=True)
