"""The conformance suite on real sockets, on the simulated network, and on a bad one."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from protocol.clock import Clock, LoopClock
from protocol.ids import WorkerIdentity
from protocol.links.faults import ChannelFaults, FaultyNetwork, SteadyNetwork
from protocol.links.link import Dialer, LinkServer
from protocol.links.memory import MEMORY_HOST, MemoryNetwork
from protocol.links.tcp import TcpDialer, TcpLinkServer
from protocol.messages import Hello, WorkerAddress
from protocol.virtual_loop import run_virtual
from tests.protocol.link_conformance import LINK_PROMISES, LinkPromise
from tests.protocol.link_world import ENOUGH_S, LIMITS, LinkWorld
from tests.protocol.tcp_proxy import TcpProxy

Run = Callable[[Coroutine[None, None, None]], None]
"""A loop's own `run`."""


class RealWorld:
    """Real sockets, with a proxy in the middle."""

    def __init__(self) -> None:
        self._clock = LoopClock()
        self._proxies: list[TcpProxy] = []

    @property
    def clock(self) -> Clock:
        """The real loop's."""
        return self._clock

    def server(self, own: Hello) -> LinkServer:
        """On a free port."""
        return TcpLinkServer(own, self._clock, LIMITS)

    def dialer(self, own: Hello) -> Dialer:
        """Over TCP."""
        return TcpDialer(own, self._clock, LIMITS)

    async def address(self, identity: WorkerIdentity, port: int) -> WorkerAddress:
        """Through a new proxy."""
        proxy = TcpProxy(port)
        self._proxies.append(proxy)
        return WorkerAddress(identity, "127.0.0.1", await proxy.start())

    def cut(self) -> None:
        """Cuts every proxy."""
        for proxy in self._proxies:
            proxy.cut()

    async def stop(self) -> None:
        """Ends the proxies."""
        for proxy in self._proxies:
            await proxy.stop()


class Cuttable:
    """Faults, until a cut that loses everything."""

    def __init__(self, faults: ChannelFaults) -> None:
        self._faults = faults
        self.is_cut = False

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """No copy once it is cut."""
        return () if self.is_cut else self._faults.fate(sender, receiver, now)


class MemoryWorld:
    """The simulated network, with given faults. The two nodes' clocks differ."""

    def __init__(self, faults: ChannelFaults) -> None:
        self._clock = LoopClock()
        self._faults = Cuttable(faults)
        self._network = MemoryNetwork(self._clock, self._faults)

    @property
    def clock(self) -> Clock:
        """The virtual loop's, or the real one's."""
        return self._clock

    def server(self, own: Hello) -> LinkServer:
        """On a fresh port."""
        return self._network.server(own, LoopClock(offset=500.0), LIMITS)

    def dialer(self, own: Hello) -> Dialer:
        """Inside the process."""
        return self._network.dialer(own, LoopClock(offset=-500.0), LIMITS)

    async def address(self, identity: WorkerIdentity, port: int) -> WorkerAddress:
        """The server's own."""
        return WorkerAddress(identity, MEMORY_HOST, port)

    def cut(self) -> None:
        """From now on every packet is lost."""
        self._faults.is_cut = True


every_promise = pytest.mark.parametrize("promise", LINK_PROMISES, ids=lambda p: p.__name__)


@every_promise
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_tcp_link(promise: LinkPromise, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A link over real sockets keeps every promise of the seam, on both loops that it meets, and leaves no
    error in the log."""
    run(_on_sockets(promise, RealWorld()))
    gc.collect()
    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []


@every_promise
def test_memory_link(promise: LinkPromise) -> None:
    """A link of the simulation keeps every promise of the seam, on the virtual loop."""
    run_virtual(_within_time(promise, SteadyNetwork()))


@every_promise
def test_memory_link_on_the_real_loop(promise: LinkPromise) -> None:
    """The same link keeps every promise on asyncio's own loop too."""
    asyncio.run(_within_time(promise, SteadyNetwork()))


@every_promise
@pytest.mark.parametrize("seed", range(3))
def test_memory_link_on_a_bad_network(promise: LinkPromise, seed: int) -> None:
    """Loss, doubling and reordering leave every promise of the seam standing."""
    faults = FaultyNetwork(random.Random(seed), loss=0.05, doubling=0.1, jitter_s=0.003)
    run_virtual(_within_time(promise, faults))


async def _on_sockets(promise: LinkPromise, world: RealWorld) -> None:
    try:
        await _keep(promise, world)
    finally:
        await world.stop()


async def _within_time(promise: LinkPromise, faults: ChannelFaults) -> None:
    await _keep(promise, MemoryWorld(faults))


async def _keep(promise: LinkPromise, world: LinkWorld) -> None:
    async with world.clock.deadline(ENOUGH_S):
        await promise(world)
    left = [task.get_coro() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    ours = [coro for coro in left if "SessionLink" in getattr(coro, "__qualname__", "")]
    assert ours == [], "a closed link leaves no task behind"
