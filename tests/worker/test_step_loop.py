"""The engine process's loop and pipe, on a socket pair inside one process."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from protocol.errors import WireError, WorkerLost
from protocol.mail import (
    EngineInbox,
    EngineOutbox,
    Inbound,
    Outbound,
    PeerId,
    Stop,
    inbox_codec,
    outbox_codec,
)
from protocol.splitter import Splitter, framed
from tests.worker.echo_core import LIMITS, EchoCore, frame, work
from worker.mail_pipe import MailPipe
from worker.mail_wire import batch_limit
from worker.step_loop import StepLoop

PEER = PeerId(1)
Ends = tuple[socket.socket, MailPipe]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The I/O process's raw end, and the engine's pipe."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    pipe = MailPipe(theirs, LIMITS)
    with ours, theirs:
        yield ours, pipe


def packed(*mail: EngineInbox) -> bytes:
    """One batch as it travels to the engine."""
    return framed(inbox_codec(batch_limit(LIMITS)).encode(list(mail)))


def test_stop_takes_no_further_step(ends: Ends) -> None:
    """Mail that came with Stop is delivered, but nothing more is computed."""
    ours, pipe = ends
    core = EchoCore()
    ours.sendall(packed(Inbound(PEER, work(60_000)), Stop()))
    StepLoop(core, pipe, LIMITS).run()
    assert core.mail == [Inbound(PEER, work(60_000))]


def test_the_loop_ends_when_the_other_process_is_gone(ends: Ends) -> None:
    """The end of the socket ends the loop, without the parent-death signal's help."""
    ours, pipe = ends
    ours.close()
    with pytest.raises(WorkerLost):
        StepLoop(EchoCore(), pipe, LIMITS).run()


def test_one_batch_a_step(ends: Ends) -> None:
    """All that one step says leaves as one batch."""
    ours, pipe = ends
    ours.sendall(packed(*(Inbound(PEER, frame(number)) for number in range(5))))
    loop = StepLoop(EchoCore(on_commit=lambda: loop.stop()), pipe, LIMITS)
    loop.run()
    (batch,) = Splitter(batch_limit(LIMITS)).feed(ours.recv(1 << 20))
    expected = [Outbound(PEER, frame(number)) for number in range(5)]
    assert outbox_codec(batch_limit(LIMITS)).decode(batch) == expected


def test_a_reader_that_hangs_is_given_up(ends: Ends) -> None:
    """Sending never waits: what the socket does not take is kept up to a bound, then WorkerLost."""
    _, pipe = ends
    with pytest.raises(WorkerLost, match="hangs"):
        for number in range(1000):
            pipe.send([Outbound(PEER, frame(number, size=20_000))])


def test_what_waits_is_sent_when_the_reader_goes_on(ends: Ends) -> None:
    """A slow reader gets every batch, whole and in order."""
    ours, pipe = ends
    sent: list[list[EngineOutbox]] = [[Outbound(PEER, frame(number, size=20_000))] for number in range(20)]
    for batch in sent:
        pipe.send(batch)
    codec, splitter = outbox_codec(batch_limit(LIMITS)), Splitter(batch_limit(LIMITS))
    received: list[list[EngineOutbox]] = []
    while len(received) < len(sent):
        received += [codec.decode(each) for each in splitter.feed(ours.recv(1 << 20))]
        pipe.wait(0.01)
    assert received == sent


def test_a_batch_beyond_the_limit_leaves_in_parts(ends: Ends) -> None:
    """One step may say more than fits one batch."""
    ours, pipe = ends
    sent: list[EngineOutbox] = [Outbound(PEER, frame(number, size=30_000)) for number in range(6)]
    pipe.send(sent)
    codec, splitter = outbox_codec(batch_limit(LIMITS)), Splitter(batch_limit(LIMITS))
    received: list[EngineOutbox] = []
    while len(received) < len(sent):
        for each in splitter.feed(ours.recv(1 << 20)):
            received += codec.decode(each)
        pipe.wait(0.01)
    assert received == sent


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", framed(b"junk")])
def test_nonsense_is_not_trusted(ends: Ends, data: bytes) -> None:
    """A length beyond the limit, or bytes that are no mail, raise WireError and take no memory."""
    ours, pipe = ends
    ours.sendall(data)
    with pytest.raises(WireError):
        pipe.drain()
