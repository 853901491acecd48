"""Switchboard: links that are slow to open."""

from __future__ import annotations

import asyncio

from protocol.clock import LoopClock
from protocol.links.link import Link
from protocol.mail import Dial, EngineInbox, Outbound, PeerId, PeerLost
from protocol.messages import WorkerAddress
from protocol.virtual_loop import run_virtual
from tests.worker.echo_core import LIMITS, OTHER, frame
from worker.switchboard import Switchboard

PEER = PeerId(-1)
ADDRESS = WorkerAddress(OTHER, "127.0.0.1", 1)


class SilentDialer:
    """Dials for ever."""

    def __init__(self) -> None:
        self.dials = 0
        self.given_up = 0

    async def dial(self, address: WorkerAddress) -> Link:
        """Never answers."""
        self.dials += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1
        raise AssertionError("nobody sets the event")


def test_a_dial_that_is_never_answered_ends() -> None:
    """After peer_deadline_s the engine hears PeerLost, and frames for that number are dropped."""

    async def scene() -> None:
        said: list[EngineInbox] = []
        dialer = SilentDialer()
        board = Switchboard(said.append, dialer, LoopClock(), LIMITS)
        for _ in range(2):
            board.dial(Dial(PEER, ADDRESS))
        board.deliver(Outbound(PEER, frame(1)))
        await LoopClock().sleep(LIMITS.peer_deadline_s - 0.1)
        assert said == []
        await LoopClock().sleep(0.2)
        assert said == [PeerLost(PEER)]
        board.deliver(Outbound(PEER, frame(2)))
        await board.close()
        assert (dialer.dials, dialer.given_up) == (1, 1)

    run_virtual(scene())


def test_frames_that_wait_for_a_dial_are_bounded() -> None:
    """More than max_link_backlog of them end the dial."""

    async def scene() -> None:
        said: list[EngineInbox] = []
        board = Switchboard(said.append, SilentDialer(), LoopClock(), LIMITS)
        board.dial(Dial(PEER, ADDRESS))
        await LoopClock().sleep(0.1)
        for number in range(LIMITS.max_link_backlog):
            board.deliver(Outbound(PEER, frame(number)))
        await LoopClock().sleep(0.1)
        assert said == []
        board.deliver(Outbound(PEER, frame(0)))
        await LoopClock().sleep(0.1)
        assert said == [PeerLost(PEER)]
        await board.close()

    run_virtual(scene())


def test_close_gives_up_dials() -> None:
    """Closing does not wait for a peer that never answers."""

    async def scene() -> None:
        said: list[EngineInbox] = []
        dialer = SilentDialer()
        board = Switchboard(said.append, dialer, LoopClock(), LIMITS)
        board.dial(Dial(PEER, ADDRESS))
        await LoopClock().sleep(0.1)
        await board.close()
        assert (dialer.given_up, said) == (1, [PeerLost(PEER)])
        assert LoopClock().now() < 0.2

    run_virtual(scene())
