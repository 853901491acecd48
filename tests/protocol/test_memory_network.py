"""The simulated network: deaths, partitions, and runs that repeat."""

from __future__ import annotations

import random

import pytest

from protocol.clock import LoopClock
from protocol.errors import LinkClosed
from protocol.links.faults import ChannelFaults, FaultyNetwork
from protocol.links.link import Link
from protocol.links.memory import MEMORY_HOST, STEADY, MemoryNetwork
from protocol.messages import Frame, WorkerAddress
from protocol.virtual_loop import run_virtual
from tests.protocol.link_world import GATEWAY, IDENTITY, LIMITS, WORKER, Accepted, drain, token

Trace = list[tuple[float, Frame]]


class OneWay:
    """Carries only what the gateway sends."""

    def fate(self, sender: str, receiver: str, now: float) -> tuple[float, ...]:
        """Nothing comes back from the worker once a second has passed."""
        return () if sender == WORKER.name and now > 1.0 else (0.001,)


def test_a_severed_node_is_gone() -> None:
    """Its links close at both ends, and nobody can dial it any more."""

    async def main() -> None:
        clock, network = LoopClock(), MemoryNetwork(LoopClock(), STEADY)
        accepted = Accepted()
        port = await network.server(WORKER, clock, LIMITS).start(accepted)
        address = WorkerAddress(IDENTITY, MEMORY_HOST, port)
        dialer = network.dialer(GATEWAY, clock, LIMITS)
        near, far = await dialer.dial(address), await accepted.next()
        start = clock.now()
        network.sever(WORKER.name)
        assert await drain(near) == []
        assert await drain(far) == []
        assert clock.now() - start < LIMITS.silence_s / 2
        with pytest.raises(LinkClosed, match="nobody listens"):
            await dialer.dial(address)

    run_virtual(main())


def test_a_new_life_takes_the_old_port() -> None:
    """A worker restarted behind the same address is reachable there under its new incarnation."""

    async def main() -> None:
        clock, network = LoopClock(), MemoryNetwork(LoopClock(), STEADY)
        port = await network.server(WORKER, clock, LIMITS).start(Accepted())
        network.sever(WORKER.name)
        again = network.server(WORKER, clock, LIMITS, port=port)
        assert await again.start(Accepted()) == port
        with pytest.raises(LinkClosed, match="taken"):
            await network.server(WORKER, clock, LIMITS, port=port).start(Accepted())
        address = WorkerAddress(IDENTITY, MEMORY_HOST, port)
        link = await network.dialer(GATEWAY, clock, LIMITS).dial(address)
        await link.close()
        await again.stop()

    run_virtual(main())


def test_half_a_partition_closes_both_ends() -> None:
    """When only one direction is lost, the deaf end closes and the other follows."""

    async def main() -> None:
        clock, network = LoopClock(), MemoryNetwork(LoopClock(), OneWay())
        accepted = Accepted()
        server = network.server(WORKER, clock, LIMITS)
        port = await server.start(accepted)
        near = await network.dialer(GATEWAY, clock, LIMITS).dial(WorkerAddress(IDENTITY, MEMORY_HOST, port))
        far = await accepted.next()
        await clock.sleep(1.0)
        async with clock.deadline(3 * LIMITS.silence_s):
            assert await drain(near) == []
            assert await drain(far) == []
        await near.close()
        await server.stop()

    run_virtual(main())


def test_nothing_shares_memory() -> None:
    """A frame arrives as an equal value, never as the same object."""

    async def main() -> None:
        sent = token(300)
        got = await _echo(STEADY, [sent])
        assert got[0][1] == sent
        assert got[0][1] is not sent

    run_virtual(main())


def test_equal_seeds_give_equal_runs() -> None:
    """With equal dice every frame arrives at the very same virtual time; with others it does not."""
    frames: list[Frame] = [token(number) for number in range(300)]

    def run(seed: int) -> Trace:
        faults = FaultyNetwork(random.Random(seed), loss=0.05, doubling=0.1, jitter_s=0.01)
        return run_virtual(_echo(faults, frames))

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert [frame for _, frame in run(1)] == frames


async def _echo(faults: ChannelFaults, frames: list[Frame]) -> Trace:
    clock, network = LoopClock(), MemoryNetwork(LoopClock(), faults)

    async def echo(link: Link) -> None:
        while True:
            link.send(await link.receive())

    server = network.server(WORKER, clock, LIMITS)
    port = await server.start(echo)
    link = await network.dialer(GATEWAY, clock, LIMITS).dial(WorkerAddress(IDENTITY, MEMORY_HOST, port))
    trace: Trace = []
    for frame in frames:
        link.send(frame)
        trace.append((clock.now(), await link.receive()))
    await link.close()
    await server.stop()
    return trace
