"""One worker's account: what this gateway sent, and what others have there."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import AttemptKey, RequestId
from protocol.load_report import OwnLoad
from router.desk import PROVEN, Desk
from router.own_work import Booking
from tests.router.fleets import NOTHING, load, record


def desk_of(name: str) -> Desk:
    """A worker that has said that it is idle."""
    desk = Desk(record(name), lambda shown: None)
    desk.hear(load(), NOTHING)
    return desk


def key(number: int) -> AttemptKey:
    return AttemptKey(RequestId(f"r{number}"), 1)


def test_what_was_sent_counts_before_any_report_does() -> None:
    """At once, and once: a report that knows of it does not add to it."""
    desk = desk_of("d0")
    desk.open(key(1), Booking(300, 300))
    assert (desk.queued_tokens(), desk.running(), desk.free_tokens()) == (300, 1, 16_000 - 300)
    desk.hear(load(), NOTHING)
    assert (desk.queued_tokens(), desk.running()) == (300, 1)
    desk.admitted(key(1))
    desk.hear(load(queued=300, running=1, free=981), OwnLoad(300, 1))
    assert (desk.queued_tokens(), desk.running(), desk.free_tokens()) == (300, 1, 981 * 16)
    desk.hear(load(queued=100, running=1, free=981), OwnLoad(100, 1))
    assert desk.queued_tokens() == 100


def test_the_load_of_others_is_what_a_report_says_beyond_ours() -> None:
    """It stays when our own part ends before the next report."""
    desk = desk_of("d0")
    desk.open(key(1), Booking(300, 300))
    desk.admitted(key(1))
    desk.hear(load(queued=1000, running=7, reserved=2), OwnLoad(300, 1))
    assert (desk.queued_tokens(), desk.running()) == (1000, 9)
    assert desk.spoke(key(1))
    assert not desk.spoke(key(1))
    assert (desk.queued_tokens(), desk.running()) == (700, 9)
    assert desk.close(key(1))
    assert not desk.close(key(1))
    assert (desk.queued_tokens(), desk.running()) == (700, 8)


def test_a_prefill_worker_has_no_batch() -> None:
    """Sequences that compute there do not decode there."""
    desk = desk_of("p0")
    desk.open(key(1), Booking(300, 300))
    desk.hear(load(running=3, kv=5000), NOTHING)
    assert (desk.running(), desk.kv_tokens()) == (0, 0)


def test_who_refused_is_asked_again_when_something_changed() -> None:
    """A report, or an attempt of ours that ended."""
    desk = desk_of("d0")
    desk.open(key(1), Booking(0, 300))
    desk.refuse(500)
    desk.refuse(800)
    assert desk.refused == 500
    desk.close(key(1))
    assert desk.refused > 1e9
    desk.refuse(500)
    desk.hear(load(), NOTHING)
    assert desk.refused > 1e9


def test_a_new_worker_gets_twice_as_much_for_each_answer() -> None:
    """One attempt at first; after PROVEN answers as many as there are."""
    desk, sent, most = desk_of("d0"), 0, []
    for _ in range(4):
        while not desk.restrained:
            desk.open(key(sent), Booking(0, 10))
            sent += 1
        most.append(sent)
        for number in range(sent):
            desk.spoke(key(number))
    assert most == [1, 3, 7, 15]
    desk.open(key(sent), Booking(0, 10))
    desk.spoke(key(sent))
    assert desk.heard == PROVEN and not desk.restrained


@dataclass
class Engine:
    """A worker that admits what it hears of in order, and tells the truth about it."""

    waiting: dict[int, int]
    running: dict[int, int]

    def report(self, desk: Desk) -> None:
        """Others have 1,000 tokens in the queue and 5 sequences."""
        own = OwnLoad(sum(self.waiting.values()), len(self.running))
        desk.hear(load(queued=1000 + own.queued_tokens, running=5 + own.running), own)


MOVES = st.lists(st.tuples(st.sampled_from("open admit first close report".split()), st.integers(0, 9)))


@given(MOVES)
def test_the_account_is_never_far_from_the_truth(moves: list[tuple[str, int]]) -> None:
    """Whatever comes in whatever order: nothing is negative, the others' load is always seen, our own never
    counts twice, and when all is over only theirs is left."""
    desk, engine = desk_of("d0"), Engine({}, {})
    engine.report(desk)
    sent: dict[int, int] = {}
    computed: set[int] = set()
    for move, number in moves:
        if move == "open" and number not in sent:
            sent[number] = 100 * (number + 1)
            desk.open(key(number), Booking(sent[number], sent[number]))
        elif move == "admit" and number in sent and number not in engine.running:
            engine.waiting[number] = engine.running[number] = sent[number]
            desk.admitted(key(number))
        elif move == "first" and number in engine.running and number not in computed:
            computed.add(number)
            engine.waiting.pop(number, None)
            desk.spoke(key(number))
        elif move == "close" and number in sent:
            del sent[number]
            computed.discard(number)
            engine.waiting.pop(number, None)
            engine.running.pop(number, None)
            desk.close(key(number))
        elif move == "report":
            engine.report(desk)
        to_compute = sum(tokens for one, tokens in sent.items() if one not in computed)
        assert 1000 <= desk.queued_tokens() <= 1000 + to_compute
        assert desk.running() == 5 + len(sent)
        assert desk.open_tokens == to_compute
    for number in sent:
        desk.close(key(number))
    assert (desk.queued_tokens(), desk.running(), desk.open_requests) == (1000, 5, 0)
