"""The session's promise over a channel that loses, doubles and reorders: exactly once, in order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocol.errors import LinkClosed
from protocol.limits import Limits
from protocol.links.session import ENVELOPE_BYTES, Envelope, LinkSession

SMALL = Limits(max_link_backlog=24)
PATIENT = Limits(max_link_backlog=24, silence_s=1000.0)


class Pair:
    """Two sessions and what is on its way between them."""

    def __init__(self, limits: Limits) -> None:
        self.ends = (LinkSession(limits), LinkSession(limits))
        self.flying: tuple[list[Envelope], list[Envelope]] = ([], [])
        self.sent: tuple[list[bytes], list[bytes]] = ([], [])
        self.got: tuple[list[bytes], list[bytes]] = ([], [])

    @property
    def alive(self) -> bool:
        """Whether neither end has closed."""
        return not any(end.why_closed for end in self.ends)

    def send(self, side: int) -> None:
        """One more frame; LinkClosed is an allowed answer."""
        frame = f"{side}:{len(self.sent[side])}".encode()
        try:
            self.ends[side].send(frame)
        except LinkClosed:
            return
        self.sent[side].append(frame)

    def speak(self, side: int) -> None:
        """Puts what is due onto the channel."""
        self.flying[side].extend(self.ends[side].take_outgoing())

    def arrive(self, side: int, index: int, doubled: bool = False) -> None:
        """Delivers one packet that `side` sent, in any order, perhaps not for the last time."""
        index %= len(self.flying[side])
        packet = self.flying[side][index] if doubled else self.flying[side].pop(index)
        self.got[1 - side].extend(self.ends[1 - side].receive(packet))

    def run_healthy(self, rounds: int) -> None:
        """The channel works from now on."""
        for _ in range(rounds):
            for side in (0, 1):
                self.speak(side)
                while self.flying[side]:
                    self.arrive(side, 0)
            for end in self.ends:
                end.tick()

    def check(self) -> None:
        """What was given out is always a prefix of what was sent."""
        for side in (0, 1):
            assert self.got[1 - side] == self.sent[side][: len(self.got[1 - side])]


class SessionMachine(RuleBasedStateMachine):
    """Any order of sends, deliveries, losses, doublings and ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(PATIENT)

    @rule(side=st.integers(0, 1), count=st.integers(1, 4))
    def send(self, side: int, count: int) -> None:
        for _ in range(count):
            self.pair.send(side)

    @rule(side=st.integers(0, 1))
    def speak(self, side: int) -> None:
        self.pair.speak(side)

    @rule(side=st.integers(0, 1))
    def tick(self, side: int) -> None:
        self.pair.ends[side].tick()

    @precondition(lambda self: self.pair.flying[0] or self.pair.flying[1])
    @rule(
        index=st.integers(0, 50), fate=st.sampled_from(["arrive", "double", "lose"]), side=st.integers(0, 1)
    )
    def packet(self, index: int, fate: str, side: int) -> None:
        side = side if self.pair.flying[side] else 1 - side
        if fate == "lose":
            self.pair.flying[side].pop(index % len(self.pair.flying[side]))
        else:
            self.pair.arrive(side, index, doubled=fate == "double")

    @invariant()
    def prefix(self) -> None:
        self.pair.check()

    def teardown(self) -> None:
        self.pair.run_healthy(rounds=6)
        self.pair.check()
        if self.pair.alive:
            for side in (0, 1):
                assert self.pair.got[1 - side] == self.pair.sent[side]


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(st.integers(0, 2**32), st.floats(0.0, 0.3), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_a_bad_channel_only_delays(seed: int, loss: float, jitter: int) -> None:
    """With loss up to 30 % both ways and reordering, every frame comes once and in order."""
    dice, pair = random.Random(seed), Pair(Limits(max_link_backlog=4096, silence_s=1000.0))
    for _ in range(60):
        for side in (0, 1):
            for _ in range(dice.randrange(4)):
                pair.send(side)
            kept = list(pair.flying[side])
            pair.flying[side].clear()
            pair.speak(side)
            pair.flying[side][:] = kept + [p for p in pair.flying[side] if dice.random() >= loss]
            while len(pair.flying[side]) > jitter:
                pair.arrive(side, dice.randrange(len(pair.flying[side])), doubled=dice.random() < 0.1)
            pair.ends[side].tick()
    pair.run_healthy(rounds=6)
    pair.check()
    assert pair.alive, [end.why_closed for end in pair.ends]
    assert [len(got) for got in pair.got] == [len(pair.sent[1]), len(pair.sent[0])]


def test_a_lost_tail_is_found_by_the_keep_alive() -> None:
    """The last frame, with nothing behind it, is sent again after at most two ticks."""
    pair = Pair(SMALL)
    pair.send(0)
    pair.speak(0)
    pair.flying[0].clear()
    pair.run_healthy(rounds=4)
    assert pair.got[1] == pair.sent[0]


def test_one_gap_is_asked_for_once() -> None:
    """Many packets behind one lost packet cause one question, not one each."""
    pair = Pair(SMALL)
    for _ in range(10):
        pair.send(0)
        pair.speak(0)
    pair.flying[0].pop(0)
    while pair.flying[0]:
        pair.arrive(0, 0)
    pair.speak(1)
    assert [packet.asked for packet in pair.flying[1]] == [1]


def test_silence_closes() -> None:
    """A peer that says nothing for Limits.silence_s is given up within one tick more."""
    limits = Limits()
    session = LinkSession(limits)
    ticks = 0
    while not session.why_closed:
        session.tick()
        ticks += 1
    assert limits.silence_s <= ticks * limits.report_every_s <= limits.silence_s + limits.report_every_s
    with pytest.raises(LinkClosed, match="silent"):
        session.send(b"x")


def test_a_peer_that_confirms_nothing_is_given_up() -> None:
    """A peer that speaks but never takes a frame closes the session too."""
    session = LinkSession(Limits())
    session.send(b"x")
    for _ in range(20):
        session.take_outgoing()
        session.receive(Envelope(first=1, ack=0, asked=0, answered=0, frames=()))
        session.tick()
    assert "confirms nothing" in session.why_closed


def test_an_idle_link_stays_open() -> None:
    """Two idle ends keep each other alive."""
    pair = Pair(SMALL)
    pair.run_healthy(rounds=500)
    assert pair.alive


def test_the_backlog_is_bounded_in_frames_and_bytes() -> None:
    """One frame beyond either bound raises LinkClosed and closes."""
    many = LinkSession(SMALL)
    for _ in range(SMALL.max_link_backlog):
        many.send(b"x")
    with pytest.raises(LinkClosed, match="behind"):
        many.send(b"x")
    big = LinkSession(Limits(max_frame_bytes=100))
    for _ in range(4):
        big.send(bytes(100))
    with pytest.raises(LinkClosed, match="behind"):
        big.send(b"x")
    assert big.why_closed


def test_a_one_way_flood_is_confirmed_in_time() -> None:
    """A silent reader confirms often enough that a steady sender never fills its backlog."""
    pair = Pair(SMALL)
    for _ in range(1000):
        for _ in range(SMALL.max_link_backlog // 2):
            pair.send(0)
        for side in (0, 1):
            pair.speak(side)
            while pair.flying[side]:
                pair.arrive(side, 0)
    assert pair.alive
    assert pair.got[1] == pair.sent[0]
    assert len(pair.sent[0]) == 1000 * (SMALL.max_link_backlog // 2)


def test_envelopes_are_cut_to_size() -> None:
    """Frames share an envelope up to ENVELOPE_BYTES, and a longer frame travels alone."""
    session = LinkSession(Limits())
    for size in (100, ENVELOPE_BYTES + 5, 100, 100, ENVELOPE_BYTES - 150):
        session.send(bytes(size))
    envelopes = session.take_outgoing()
    assert [[len(frame) for frame in e.frames] for e in envelopes] == [
        [100],
        [ENVELOPE_BYTES + 5],
        [100, 100],
        [ENVELOPE_BYTES - 150],
    ]
    assert [e.first for e in envelopes] == [1, 2, 3, 5]


def test_a_lying_peer_is_given_up() -> None:
    """Confirming what was never sent closes the session."""
    session = LinkSession(Limits())
    session.receive(Envelope(first=1, ack=7, asked=0, answered=0, frames=()))
    assert "never sent" in session.why_closed
