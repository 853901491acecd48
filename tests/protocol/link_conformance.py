"""What every implementation of the link must do, in coroutines that get a world to do it in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from protocol.errors import LinkClosed, Stale, WireError
from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from protocol.links.link import Link
from protocol.messages import WIRE_VERSION, Failed, Hello
from tests.protocol.link_world import (
    ENOUGH_S,
    GATEWAY,
    IDENTITY,
    LIMITS,
    WORKER,
    Accepted,
    LinkWorld,
    connected,
    drain,
    take,
    token,
)

LinkPromise = Callable[[LinkWorld], Awaitable[None]]


async def both_ends_know_each_other(world: LinkWorld) -> None:
    """Each end's `peer` is what the other said of itself."""
    async with connected(world) as (near, far):
        assert near.peer == WORKER
        assert far.peer == GATEWAY


async def frames_come_once_and_in_order_both_ways(world: LinkWorld) -> None:
    """Hundreds of frames each way, at the same time, arrive exactly once and in order."""
    count = LIMITS.max_link_backlog * 4
    async with connected(world) as (near, far):

        async def send(link: Link) -> None:
            for number in range(count):
                link.send(token(number))
                if number % 32 == 31:
                    await world.clock.sleep(0.01)

        senders = [asyncio.create_task(send(link)) for link in (near, far)]
        readers = [asyncio.create_task(take(link, count)) for link in (near, far)]
        expected = [token(number) for number in range(count)]
        for reader in readers:
            assert await reader == expected
        for sender in senders:
            await sender


async def every_size_up_to_the_limit_passes(world: LinkWorld) -> None:
    """Frames from tiny to just under the limit arrive intact."""
    async with connected(world) as (near, far):
        for size in (0, 1, 100, 70_000, 300_000, LIMITS.max_frame_bytes - 100):
            frame = Failed(AttemptKey(RequestId("r"), 1), "code", "x" * size)
            near.send(frame)
            assert await far.receive() == frame


async def an_oversize_frame_is_refused_at_the_sender(world: LinkWorld) -> None:
    """A frame beyond the limit raises WireError from send, and the link lives on."""
    async with connected(world) as (near, far):
        with pytest.raises(WireError, match="limit"):
            near.send(Failed(AttemptKey(RequestId("r"), 1), "code", "x" * LIMITS.max_frame_bytes))
        near.send(token(1))
        assert await far.receive() == token(1)


async def sending_never_waits(world: LinkWorld) -> None:
    """A burst of frames is queued within one turn of the loop, and all of it arrives."""
    async with connected(world) as (near, far):
        for number in range(LIMITS.max_link_backlog // 2):
            near.send(token(number))
        got = await take(far, LIMITS.max_link_backlog // 2)
        assert got == [token(number) for number in range(LIMITS.max_link_backlog // 2)]


async def an_idle_link_stays_open(world: LinkWorld) -> None:
    """Keep-alives hold an idle link open for longer than Limits.silence_s."""
    async with connected(world) as (near, far):
        await world.clock.sleep(2 * LIMITS.silence_s)
        near.send(token(1))
        assert await far.receive() == token(1)
        far.send(token(2))
        assert await near.receive() == token(2)


async def a_close_is_seen_by_the_peer(world: LinkWorld) -> None:
    """When either end closes, the other's receive raises LinkClosed in time."""
    for closing in (0, 1):
        async with connected(world) as ends:
            await ends[closing].close()
            async with world.clock.deadline(LIMITS.silence_s + 1.0):
                with pytest.raises(LinkClosed):
                    await ends[1 - closing].receive()


async def what_was_delivered_survives_a_close(world: LinkWorld) -> None:
    """After `delivered`, frames are there however soon the link ends."""
    async with connected(world) as (near, far):
        sent = [token(number) for number in range(100)]
        for frame in sent:
            far.send(frame)
            await world.clock.sleep(0.001)
        async with world.clock.deadline(ENOUGH_S):
            await far.delivered()
        await far.close()
        assert await drain(near) == sent


async def a_peer_that_confirms_nothing_holds_nobody_up(world: LinkWorld) -> None:
    """`delivered` returns when silence has ended the link, and of an ended link at once."""
    async with connected(world) as (near, _far):
        world.cut()
        near.send(token(1))
        for allowed_s in (LIMITS.silence_s + 2.0, LIMITS.report_every_s):
            async with world.clock.deadline(allowed_s):
                await near.delivered()


async def a_closed_link_refuses(world: LinkWorld) -> None:
    """After close, send and receive raise LinkClosed at both ends; closing twice is harmless."""
    async with connected(world) as (near, far):
        await near.close()
        await near.close()
        with pytest.raises(LinkClosed):
            near.send(token(1))
        with pytest.raises(LinkClosed):
            await near.receive()
        assert await drain(far) == []
        with pytest.raises(LinkClosed):
            far.send(token(1))
        await far.close()


async def closing_wakes_a_waiting_reader(world: LinkWorld) -> None:
    """A receive that waits at the closing end raises LinkClosed rather than wait for ever."""
    async with connected(world) as (near, _far):
        reader = asyncio.create_task(near.receive())
        await world.clock.sleep(0.01)
        await near.close()
        with pytest.raises(LinkClosed):
            await reader


async def a_returning_handler_closes_the_link(world: LinkWorld) -> None:
    """When the handler returns or raises LinkClosed, the dialer's end closes after what was sent."""

    async def answer_once(link: Link) -> None:
        link.send(await link.receive())
        raise LinkClosed("enough")

    server = world.server(WORKER)
    port = await server.start(answer_once)
    link = await world.dialer(GATEWAY).dial(await world.address(IDENTITY, port))
    link.send(token(7))
    assert await link.receive() == token(7)
    assert await drain(link) == []
    await link.close()
    await server.stop()


async def a_stopping_server_closes_its_links(world: LinkWorld) -> None:
    """stop() ends every link and every handler, and nobody can dial afterwards."""
    accepted = Accepted()
    server = world.server(WORKER)
    port = await server.start(accepted)
    address = await world.address(IDENTITY, port)
    links = [await world.dialer(GATEWAY).dial(address) for _ in range(3)]
    async with world.clock.deadline(ENOUGH_S):
        await server.stop()
        for link in links:
            assert await drain(link) == []
            await link.close()
    with pytest.raises(LinkClosed):
        await world.dialer(GATEWAY).dial(address)


async def another_incarnation_is_stale(world: LinkWorld) -> None:
    """Dialing a life of the worker that is over raises Stale; so does another worker's address."""
    server = world.server(WORKER)
    port = await server.start(Accepted())
    for identity in (
        WorkerIdentity(IDENTITY.worker, Incarnation("second")),
        WorkerIdentity(WorkerId("decode-9"), IDENTITY.incarnation),
    ):
        with pytest.raises(Stale):
            await world.dialer(GATEWAY).dial(await world.address(identity, port))
    await server.stop()


async def another_wire_version_is_refused(world: LinkWorld) -> None:
    """Speakers of two versions never get a link: WireError at the dialer, no handler at the server."""
    accepted = Accepted()
    server = world.server(WORKER)
    port = await server.start(accepted)
    newer = Hello(WIRE_VERSION + 1, GATEWAY.role, GATEWAY.name, GATEWAY.incarnation)
    address = await world.address(IDENTITY, port)
    with pytest.raises(WireError, match="version"):
        await world.dialer(newer).dial(address)
    link = await world.dialer(GATEWAY).dial(address)
    assert (await accepted.next()).peer == GATEWAY
    await link.close()
    await server.stop()


async def nobody_there_is_closed(world: LinkWorld) -> None:
    """Dialing where nobody listens raises LinkClosed within the peer deadline."""
    server = world.server(WORKER)
    port = await server.start(Accepted())
    await server.stop()
    async with world.clock.deadline(LIMITS.peer_deadline_s + 2.0):
        with pytest.raises(LinkClosed):
            await world.dialer(GATEWAY).dial(await world.address(IDENTITY, port))


async def silence_closes_both_ends(world: LinkWorld) -> None:
    """When the way is cut without a word, each end closes within Limits.silence_s and a little."""
    async with connected(world) as ends:
        world.cut()
        start = world.clock.now()
        for end in ends:
            async with world.clock.deadline(LIMITS.silence_s + 2.0):
                assert await drain(end) == []
        assert world.clock.now() - start >= LIMITS.silence_s / 2


async def a_silent_peer_cannot_be_dialed(world: LinkWorld) -> None:
    """A way that carries nothing raises LinkClosed within the peer deadline and a little."""
    server = world.server(WORKER)
    port = await server.start(Accepted())
    address = await world.address(IDENTITY, port)
    world.cut()
    async with world.clock.deadline(LIMITS.peer_deadline_s + 2.0):
        with pytest.raises(LinkClosed):
            await world.dialer(GATEWAY).dial(address)
    await server.stop()


async def a_full_backlog_closes(world: LinkWorld) -> None:
    """One frame more than the backlog holds raises LinkClosed from send, at once, and closes."""
    async with connected(world) as (near, _far):
        world.cut()
        with pytest.raises(LinkClosed, match="behind"):
            for number in range(LIMITS.max_link_backlog + 1):
                near.send(token(number))
        with pytest.raises(LinkClosed):
            await near.receive()


async def a_reader_that_never_reads_costs_a_bounded_backlog(world: LinkWorld) -> None:
    """Frames that nobody takes pile up to the bounds of both ends and no further."""
    async with connected(world) as (near, _far):
        sent = 0
        with pytest.raises(LinkClosed):
            for sent in range(10 * LIMITS.max_link_backlog):
                near.send(token(sent))
                await world.clock.sleep(0.0005)
        assert sent <= 4 * LIMITS.max_link_backlog


LINK_PROMISES: list[LinkPromise] = [
    both_ends_know_each_other,
    frames_come_once_and_in_order_both_ways,
    every_size_up_to_the_limit_passes,
    an_oversize_frame_is_refused_at_the_sender,
    sending_never_waits,
    an_idle_link_stays_open,
    a_close_is_seen_by_the_peer,
    what_was_delivered_survives_a_close,
    a_peer_that_confirms_nothing_holds_nobody_up,
    a_closed_link_refuses,
    closing_wakes_a_waiting_reader,
    a_returning_handler_closes_the_link,
    a_stopping_server_closes_its_links,
    another_incarnation_is_stale,
    another_wire_version_is_refused,
    nobody_there_is_closed,
    silence_closes_both_ends,
    a_silent_peer_cannot_be_dialed,
    a_full_backlog_closes,
    a_reader_that_never_reads_costs_a_bounded_backlog,
]
