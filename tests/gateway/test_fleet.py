"""The fleet: who is linked, whatever the directory and the workers do."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from msgspec.structs import replace

from protocol.errors import LinkClosed, Stale, WireError, WorkerLost
from protocol.messages import WorkerRecord
from tests.gateway.fake_worker import FakeWorker, load_of
from tests.gateway.gateway_scene import LIMITS, Scene, pair, play, request

TICK_S = 2 * LIMITS.report_every_s


def names(scene: Scene) -> list[str]:
    """Who is linked."""
    return [link.identity.incarnation for link in scene.fleet.links()]


def test_it_links_to_everyone_and_shows_them_in_order() -> None:
    """Ready with one decode worker; each worker with its last report."""

    async def act(scene: Scene) -> None:
        assert not scene.fleet.ready()
        for worker in (FakeWorker("decode-1", "decode"), FakeWorker("decode-0", "decode")):
            await scene.add(worker)
        await scene.clock.sleep(TICK_S)
        assert names(scene) == ["decode-0.1", "decode-1.1", "prefill-0.1"]
        assert scene.fleet.ready()
        scene.workers[2].report(load_of(free_blocks=7))
        await scene.clock.sleep(0.0)
        await scene.clock.sleep(0.001)
        shown = [(record.worker, load) for record, load in scene.fleet.workers()]
        rest = [("decode-1", load_of()), ("prefill-0", load_of())]
        assert shown == [("decode-0", load_of(free_blocks=7)), *rest]

    play(act, FakeWorker("prefill-0", "prefill"))


def test_a_frozen_engine_is_let_go_and_its_requests_go_on_elsewhere() -> None:
    """Its link lives, it says nothing: a little after its own worker should have judged it, it is used
    no more, and again when it speaks."""

    async def act(scene: Scene) -> None:
        frozen = scene.workers[1]
        await scene.add(FakeWorker("decode-1", "decode"))
        await scene.clock.sleep(TICK_S)
        frozen.report(load_of())
        scene.workers[2].report(load_of(running=50))
        asking = asyncio.create_task(scene.ask(request(max_tokens=200)))
        await scene.clock.sleep(0.5)
        frozen.freeze()
        await scene.clock.sleep(LIMITS.frozen_s)
        assert scene.replans == 0
        await scene.clock.sleep(1.0)
        assert scene.replans == 1
        answer = await asking
        assert (answer.error, len(answer.tokens)) == (None, 200)
        assert "decode-0.1" not in [link.identity.incarnation for link in scene.fleet.usable()]
        frozen.frozen = False
        frozen.report(load_of())
        await scene.clock.sleep(TICK_S)
        assert "decode-0.1" in [link.identity.incarnation for link in scene.fleet.usable()]

    play(act, *pair())


def test_a_long_step_that_was_announced_is_waited_for() -> None:
    """Four times its predicted seconds, no longer; until then nothing is planned again."""

    async def act(scene: Scene) -> None:
        decode = scene.workers[1]
        decode.report(replace(load_of(), begun_s=2.0))
        asking = asyncio.create_task(scene.ask(request(max_tokens=200)))
        await scene.clock.sleep(0.5)
        decode.freeze()
        await scene.clock.sleep(7.5)
        assert scene.replans == 0
        await scene.clock.sleep(1.5)
        assert scene.replans == 1
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    play(act, *pair())


def test_who_has_not_said_how_it_is_gets_no_work() -> None:
    """A link alone says nothing of the engine behind it."""

    async def act(scene: Scene) -> None:
        silent = FakeWorker("decode-0", "decode")
        silent.frozen = True
        await scene.add(silent)
        await scene.clock.sleep(10 * LIMITS.frozen_s)
        assert names(scene) == ["decode-0.1", "prefill-0.1"]
        assert not scene.fleet.ready()
        assert len(silent.links) == 1
        silent.report(load_of())
        await scene.clock.sleep(TICK_S)
        assert scene.fleet.ready()

    play(act, FakeWorker("prefill-0", "prefill"))


def test_a_pause_of_the_gateway_is_not_taken_for_one_of_the_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silence is counted by looks: time in which the gateway itself stood still is none."""

    async def act(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        await scene.clock.sleep(1.0)
        before, links = loop.time(), [len(worker.links) for worker in scene.workers]
        monkeypatch.setattr(loop, "time", lambda: before + 3600.0)
        await asyncio.sleep(0)
        monkeypatch.undo()
        await scene.clock.sleep(2.0)
        assert [len(worker.links) for worker in scene.workers] == links

    play(act, *pair())


class OddDirectory:
    """Raises, or never answers."""

    def __init__(self, fault: BaseException | None) -> None:
        self._fault = fault

    async def members(self) -> tuple[WorkerRecord, ...]:
        """No members."""
        if self._fault is not None:
            raise self._fault
        await asyncio.sleep(1e9)
        return ()


@pytest.mark.parametrize("fault", [WorkerLost("away"), ValueError("odd"), OSError("socket"), None])
def test_a_lost_directory_freezes_membership(
    fault: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it raises, or if it hangs: nobody is dropped, lost links are dialled again, and when it
    is back the fleet follows it."""

    async def act(scene: Scene) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(scene.directory, "members", OddDirectory(fault).members)
            await scene.clock.sleep(60.0)
            assert names(scene) == ["decode-0.1", "prefill-0.1"]
            await scene.workers[1].die()
            await scene.clock.sleep(TICK_S)
            assert names(scene) == ["decode-0.1", "prefill-0.1"]
            assert (await scene.ask(request())).error is None
        await scene.add(FakeWorker("decode-1", "decode"))
        await scene.clock.sleep(TICK_S + LIMITS.peer_deadline_s)
        assert names(scene) == ["decode-0.1", "decode-1.1", "prefill-0.1"]

    play(act, *pair())


@pytest.mark.parametrize(
    "fault", [LinkClosed("refused"), Stale("other life"), WireError("other wire"), OSError("no route")]
)
def test_a_dial_that_fails_is_tried_again_more_slowly(fault: Exception) -> None:
    """Whatever a dial raises: the pauses double up to peer_deadline_s, and in the end there is a link."""

    async def act(scene: Scene) -> None:
        scene.dialer.fault = fault
        await scene.add(FakeWorker("decode-1", "decode"))
        await scene.clock.sleep(60.0)
        times = [at for at, _ in scene.dialer.dials[2:]]
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert pauses[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0])
        assert max(pauses) == pytest.approx(LIMITS.peer_deadline_s)
        scene.dialer.fault = None
        await scene.clock.sleep(LIMITS.peer_deadline_s + TICK_S)
        assert names(scene) == ["decode-0.1", "decode-1.1", "prefill-0.1"]

    play(act, *pair())


def test_a_dial_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each dial has a deadline, and holds up nobody else's."""

    async def act(scene: Scene) -> None:
        dial = scene.dialer.dial

        async def hang(address: object) -> None:
            await asyncio.sleep(1e9)

        monkeypatch.setattr(scene.dialer, "dial", hang)
        await scene.add(FakeWorker("decode-1", "decode"))
        await scene.clock.sleep(TICK_S)
        monkeypatch.setattr(scene.dialer, "dial", dial)
        await scene.add(FakeWorker("decode-2", "decode"))
        await scene.clock.sleep(TICK_S)
        assert "decode-2.1" in names(scene)
        await scene.clock.sleep(LIMITS.peer_deadline_s + TICK_S)
        assert "decode-1.1" in names(scene)

    play(act, *pair())


def test_a_worker_that_left_the_directory_is_not_dialled_again() -> None:
    """Its link stays for what still runs; when that closes, it is forgotten."""

    async def act(scene: Scene) -> None:
        decode = scene.workers[1]
        await scene.directory.leave(decode.identity)
        await scene.clock.sleep(TICK_S)
        assert names(scene) == ["decode-0.1", "prefill-0.1"]
        await decode.die()
        await scene.clock.sleep(60.0)
        assert names(scene) == ["prefill-0.1"]
        assert len(decode.links) == 1
        await scene.directory.join(decode.record, 1e6)
        await scene.clock.sleep(TICK_S)
        assert len(decode.links) == 2

    play(act, *pair())


def test_a_new_life_replaces_the_former() -> None:
    """Attempts on the former life are planned again at once, not when its silence is noticed."""

    async def act(scene: Scene) -> None:
        former = scene.workers[1]
        asking = asyncio.create_task(scene.ask(request(max_tokens=200)))
        await scene.clock.sleep(0.5)
        await scene.add(FakeWorker("decode-0", "decode", life="2"))
        answer = await asking
        assert answer.error is None
        assert len(answer.tokens) == 200
        assert scene.replans == 1
        assert answer.seconds < 3.0
        assert names(scene) == ["decode-0.2", "prefill-0.1"]
        assert former.link.closed
        assert scene.is_clean()

    play(act, *pair())


def test_the_end_of_the_fleet_ends_what_is_open() -> None:
    """Links are closed and their attempts fail at once; nothing dials on."""

    async def act(scene: Scene) -> None:
        asking = asyncio.create_task(scene.ask(request(max_tokens=10_000)))
        await scene.clock.sleep(0.5)
        await scene.fleet.stop()
        assert names(scene) == []
        assert all(worker.link.closed for worker in scene.workers)
        dials = len(scene.dialer.dials)
        answer = await asking
        assert answer.error is not None
        assert answer.error.http_status == 503
        assert len(scene.dialer.dials) == dials

    play(act, *pair())
