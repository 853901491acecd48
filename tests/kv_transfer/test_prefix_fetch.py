"""KV comes back: what another worker holds is pulled, and whatever goes wrong is computed."""

from __future__ import annotations

import pytest

from engine.owner import Owner, OwnerKind
from protocol.limits import Limits
from protocol.load_report import OwnLoad, PullSample
from protocol.mail import Inbound
from protocol.messages import Cancel, Release, Withdrawn
from protocol.stamp import Phase
from tests.decode_worker.decode_bench import DecodeBench
from tests.engine.modelled import answer
from tests.kv_transfer.prefix_scene import FIRST, GATEWAY, READER_LINK, PrefixScene, job, second_turn
from tests.prefill_worker.prefill_bench import transfer

LIMITS = Limits()
TURN_ONE = job("one", FIRST, 8)
TURN_TWO = job("two", second_turn(TURN_ONE), 6)
CACHED = 4
"""Full blocks of 18 tokens; the KV of the last one was never computed, and never needed."""


def begun(decoder_reads: bool = False) -> PrefixScene:
    """The source holds the first turn, and the reader has asked for it."""
    scene = PrefixScene(decoder_reads)
    scene.cache(TURN_ONE)
    scene.ask(TURN_TWO)
    return scene


def is_answered(scene: PrefixScene, decoder_reads: bool = False) -> None:
    """With the right tokens, and nothing is left."""
    told = answer(TURN_TWO.request)
    assert scene.tokens(TURN_TWO.key) == (told if decoder_reads else told[:1])
    scene.reader.engine.check()


def test_what_decode_generated_is_pulled_by_a_prefill_worker() -> None:
    """Prompt and answer of the first turn are not computed again; the phases add up; the pins are gone."""
    scene = begun()
    assert scene.reader.role.load().own == {GATEWAY: OwnLoad(len(TURN_TWO.tokens), 0)}
    assert scene.reader.role.load().queued_tokens == len(TURN_TWO.tokens)
    assert scene.source.engine.pool.held(OwnerKind.PINNED) == 0
    scene.carry()
    assert scene.source.engine.pool.held(OwnerKind.PINNED) == CACHED
    scene.pull(2.0)
    assert scene.held() == {}
    scene.work(5.0)
    is_answered(scene)
    (delta,) = scene.deltas(TURN_TWO.key)
    assert delta.cached_tokens == CACHED * 4
    assert [(stamp.phase, stamp.seconds) for stamp in delta.stamps] == [
        (Phase.PREFIX_PULL, 2.0),
        (Phase.PREFILL_QUEUE, 3.0),
        (Phase.PREFILL, 0.0),
    ]


def test_how_long_a_pull_took_is_told_once() -> None:
    """From the first post to the verification; but not of the first pull, which waits for a connection."""
    scene = begun()
    scene.pull()
    assert scene.reader.role.load().pulls == ()
    other = job("three", tuple(range(50, 60)), 8)
    scene.cache(other)
    scene.ask(job("four", second_turn(other), 6), name="q")
    scene.carry()
    scene.reader.role.before_plan(1.0)
    scene.pull(1.5)
    assert scene.reader.role.load().pulls == (PullSample(scene.who, CACHED * 4, 0.5),)
    assert scene.reader.role.load().pulls == ()


def test_what_prefill_computed_is_pulled_by_a_decode_worker() -> None:
    """For a plan without a prefill worker: Compute with a prefix."""
    scene = PrefixScene(decoder_reads=True)
    scene.cache(job("one", TURN_TWO.tokens, 1))
    scene.ask(TURN_TWO)
    scene.pull()
    scene.work()
    is_answered(scene, decoder_reads=True)
    assert scene.deltas(TURN_TWO.key)[0].cached_tokens == len(TURN_TWO.tokens) // 4 * 4
    assert scene.held() == {}


def test_only_what_is_missing_is_pulled() -> None:
    """The reader holds a part itself: it asks from there on, and that part stays meanwhile."""
    scene = begun()
    scene.know(job("own", (*FIRST[:8], 9), 2))
    scene.ask(job("three", TURN_TWO.tokens, 6), name="q")
    scene.carry()
    fetch = scene.fetches[-1]
    assert (fetch.first_block, len(fetch.hashes)) == (2, len(TURN_TWO.tokens) // 4 - 2)
    scene.pull()
    scene.work()
    (delta,) = scene.deltas(job("three", FIRST, 6).key)
    assert delta.cached_tokens == CACHED * 4


@pytest.mark.parametrize("case", ["held here", "nothing believed", "no room", "own memory", "one block"])
def test_nothing_is_asked_for_where_that_would_not_help(case: str) -> None:
    """Then the sequence is admitted at once."""
    scene = PrefixScene(reader_blocks=20 if case != "no room" else 8)
    scene.cache(TURN_ONE)
    told, blocks = TURN_TWO, 100
    if case == "held here":
        scene.know(job("own", TURN_TWO.tokens, 2))
    elif case == "nothing believed":
        blocks = -1
    elif case == "no room":
        scene.reader.engine.pool.take(Owner.quarantine(transfer("stuck")), (), 8)
    elif case == "own memory":
        scene.who = scene.me
    else:
        told = job("two", TURN_TWO.tokens[:4], 6)
    scene.ask(told, blocks)
    assert told.key in [sequence.key for sequence in scene.reader.engine.waiting]
    scene.carry()
    assert scene.fetches == []


@pytest.mark.parametrize("decoder_reads", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [
        "lacks all",
        "other model",
        "withdrawn",
        "lost",
        "silent",
        "failed read",
        "stale",
        "late",
        "too many pins",
    ],
)
def test_whatever_goes_wrong_is_computed(trouble: str, decoder_reads: bool) -> None:
    """The answer is right, nothing that was not verified is found, and in the end nothing is held."""
    scene = PrefixScene(decoder_reads)
    if trouble != "lacks all":
        scene.cache(job("one", TURN_TWO.tokens, 1) if decoder_reads else TURN_ONE)
    if trouble == "other model":
        scene.source.source._fingerprint = "other"
    if trouble == "too many pins":
        scene.source.engine.pool.take(Owner.pinned(transfer("others")), (), 16)
    scene.cut = trouble == "silent"
    scene.ask(TURN_TWO)
    scene.carry()
    if trouble == "withdrawn":
        scene.reader.role.receive(Inbound(scene._link, Withdrawn(transfer("p"), "stale_kv", "gone")), 0.0)
    elif trouble == "lost":
        scene.source.role.peer_lost(READER_LINK, 0.0)
        scene.reader.role.peer_lost(scene._link, 0.0)
    elif trouble in ("failed read", "stale", "late"):
        scene.reader.role.before_plan(0.0)
        (read,) = scene.reader.transport.pending
        if trouble == "failed read":
            scene.reader.transport.fail(read)
        if trouble == "stale":
            scene.reader.transport.land(read)
            scene.source.engine.runner.arena.generations[:] += 1
    later = LIMITS.peer_deadline_s if trouble in ("silent", "late") else 0.0
    scene.reader.turn(later)
    if trouble != "late":
        scene.pull(later)
    scene.work(later)
    is_answered(scene, decoder_reads)
    cached = scene.deltas(TURN_TWO.key)[0].cached_tokens
    whole = len(TURN_TWO.tokens) // 4 * 4 if decoder_reads else CACHED * 4
    assert cached == (whole if trouble == "lost" and cached else 0)
    scene.cut = False
    scene.reader.transport.land_all()
    for now in (20.0, 40.0, 60.0):
        scene.reader.turn(now)
        scene.source.turn(now)
        scene.carry(now)
    scene.source.engine.pool.give_back(Owner.pinned(transfer("others")))
    assert scene.held() == {}
    assert scene.failures() == []


@pytest.mark.parametrize("decoder_reads", [False, True])
@pytest.mark.parametrize("end", ["cancel", "gateway lost", "deadline"])
@pytest.mark.parametrize("stage", ["asked", "answered", "reading", "verifying"])
def test_an_attempt_may_end_while_its_prefix_comes(stage: str, end: str, decoder_reads: bool) -> None:
    """Nothing is computed or said, and blocks come back once nothing can land in them."""
    scene = PrefixScene(decoder_reads)
    scene.cache(job("one", TURN_TWO.tokens, 1) if decoder_reads else TURN_ONE)
    told = job("two", TURN_TWO.tokens, 6, left_s=1.0 if end == "deadline" else 60.0)
    scene.cut = stage == "asked"
    scene.ask(told)
    scene.carry()
    if stage in ("reading", "verifying"):
        scene.reader.role.before_plan(0.0)
    if stage == "verifying":
        scene.reader.transport.land_all()
        scene.reader.role.before_plan(0.0)
    assert len(scene.reader.transport.pending) == (stage in ("reading", "verifying"))
    if end == "cancel":
        scene.reader.role.receive(Inbound(GATEWAY, Cancel(told.key)), 0.0)
    elif end == "gateway lost":
        scene.reader.role.peer_lost(GATEWAY, 0.0)
    else:
        scene.reader.role.before_plan(1.0)
    assert scene.failures() == []
    scene.carry(1.0)
    assert scene.failures() == (["deadline_exceeded"] if end == "deadline" else [])
    assert scene.reader.engine.waiting == scene.reader.engine.running == ()
    guarded = scene.held().get("quarantine", 0)
    assert (guarded > 0) == (stage in ("reading", "verifying"))
    scene.reader.transport.land_all()
    assert not scene.reader.turn(2.0)
    scene.source.turn(30.0)
    assert scene.held() == {}
    assert scene.tokens(told.key) == ()
    assert scene.reader.role.load().own == {}


def test_a_wait_is_shorter_than_the_request_has_left() -> None:
    """Half of it, then the sequence is computed without."""
    scene = PrefixScene()
    scene.cut = True
    told = job("two", TURN_TWO.tokens, 6, left_s=2.0)
    scene.ask(told)
    assert not scene.reader.turn(0.99)
    assert scene.reader.turn(1.0)
    scene.carry()
    (delta,) = scene.deltas(told.key)
    assert [stamp.seconds for stamp in delta.stamps] == [1.0, 0.0, 0.0]


def test_pulled_blocks_are_used_even_if_the_pool_is_full() -> None:
    """They are evicted last, and the sequence starts in the very plan after they were verified."""
    scene = PrefixScene(reader_blocks=12)
    scene.cache(TURN_ONE)
    for number in range(3):
        scene.know(job(f"x{number}", tuple(range(50 * number, 50 * number + 16)), 1))
    scene.ask(TURN_TWO)
    scene.pull()
    scene.work()
    assert scene.deltas(TURN_TWO.key)[0].cached_tokens == CACHED * 4


def test_a_running_batch_keeps_room_to_finish() -> None:
    """Destination blocks count like reservations: no more are taken than the largest sequence spares."""
    scene = PrefixScene(decoder_reads=True, reader_blocks=20)
    scene.cache(job("one", TURN_TWO.tokens, 1))
    assert isinstance(scene.reader, DecodeBench)
    scene.reader.compute(job("big", (1, 2, 3, 4), 4 * 17 - 3))
    scene.reader.turn()
    scene.reader.role.take_outbox()
    scene.ask(TURN_TWO)
    assert scene.reader.engine.pool.held(OwnerKind.DEST) == 20 - 17
    scene.reader.engine.check()


def test_an_answer_to_a_fetch_that_is_over_is_ignored() -> None:
    """Released before it was answered: counted, and nothing is pinned for longer than a lease."""
    scene = begun()
    scene.carry()
    scene.source.role.receive(Inbound(READER_LINK, Release(transfer("p"))), 0.0)
    assert scene.source.engine.pool.held(OwnerKind.PINNED) == 0
