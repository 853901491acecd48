"""The one Link there is: a LinkSession over a Channel, with three small tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine

import msgspec

from protocol.bell import Bell
from protocol.clock import Clock
from protocol.codec import Codec, frame_codec
from protocol.errors import DeadlineExceeded, LinkClosed, WireError
from protocol.limits import Limits
from protocol.links.channel import Channel
from protocol.links.session import ENVELOPE_BYTES, Envelope, LinkSession
from protocol.messages import Frame, Hello

ENVELOPE_OVERHEAD_BYTES = 64 << 10
"""Numbers and length prefixes around the frames of one envelope."""


def max_envelope_bytes(limits: Limits) -> int:
    """The longest byte string that a link puts on its channel."""
    return max(limits.max_frame_bytes, ENVELOPE_BYTES) + ENVELOPE_OVERHEAD_BYTES


class SessionLink:
    """Ordered frames, each exactly once, until the link closes. One owner, who calls `close`."""

    def __init__(self, channel: Channel, clock: Clock, limits: Limits) -> None:
        self._channel = channel
        self._clock = clock
        self._limits = limits
        self._session = LinkSession(limits)
        self._frames = frame_codec(limits.max_frame_bytes)
        self._envelopes = Codec[Envelope](Envelope, max_envelope_bytes(limits))
        self._inbox: deque[Frame] = deque()
        self._arrived = Bell()
        self._may_speak = Bell()
        self._peer: Hello | None = None
        self._ending: asyncio.Task[None] | None = None
        self._speaker = asyncio.create_task(self._guarded(self._speak()))
        self._listener = asyncio.create_task(self._guarded(self._listen()))
        self._ticker = asyncio.create_task(self._guarded(self._tick()))

    @property
    def peer(self) -> Hello:
        """What the other end said of itself. Raises LinkClosed before it said anything."""
        if self._peer is None:
            raise LinkClosed("the peer has not introduced itself")
        return self._peer

    async def introduce(self, own: Hello) -> Hello:
        """Says `own` and hears the peer's. Raises LinkClosed if none comes in time, or WireError
        if the peer speaks another version of the wire."""
        self.send(own)
        try:
            async with self._clock.deadline(self._limits.peer_deadline_s):
                heard = await self.receive()
        except DeadlineExceeded as late:
            raise LinkClosed(f"no greeting within {self._limits.peer_deadline_s} s") from late
        if not isinstance(heard, Hello):
            raise WireError(f"the first frame is a {type(heard).__name__}, not a Hello")
        if heard.wire_version != own.wire_version:
            raise WireError(
                f"{heard.name} speaks wire version {heard.wire_version}, {own.name} {own.wire_version}"
            )
        self._peer = heard
        return heard

    def send(self, frame: Frame | msgspec.Raw) -> None:
        """Queues one frame and returns at once. Raises LinkClosed if the link is or becomes
        closed, WireError if the frame is too long (the link lives on)."""
        data = self._frames.encode(frame)
        try:
            self._session.send(data)
        except LinkClosed:
            self._end(self._finish)
            raise
        self._may_speak.ring()

    async def receive(self) -> Frame:
        """The next frame. What arrived before the peer ended is still given out."""
        while not self._inbox:
            if self._session.why_closed:
                raise LinkClosed(self._session.why_closed)
            await self._arrived.wait()
        return self._inbox.popleft()

    async def delivered(self) -> None:
        """Looks once a tick: the peer confirms no more often where it has nothing to say."""
        last = self._session.sent
        while self._session.confirmed < last and not self._session.why_closed:
            await self._clock.sleep(self._limits.report_every_s)

    async def close(self) -> None:
        """Sends what is queued, as far as the peer takes it at once, and ends the link."""
        self._inbox.clear()
        if not self._session.why_closed:
            self._session.close("this side closed the link")
            self._end(self._say_goodbye)
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _speak(self) -> None:
        while not self._session.why_closed:
            if not self._session.must_speak:
                await self._may_speak.wait()
            for envelope in self._session.take_outgoing():
                await self._channel.write(self._envelopes.encode(envelope))

    async def _listen(self) -> None:
        # Goes on after this side has closed: the peer's end tells that it has read everything.
        await self._channel.listen(self._hear)

    def _hear(self, data: bytes) -> None:
        """One envelope. Raises LinkClosed or WireError where that ends the link."""
        for frame in self._session.receive(self._envelopes.decode(data)):
            self._inbox.append(self._frames.decode(frame))
        if len(self._inbox) > self._limits.max_link_backlog:
            raise LinkClosed(f"this side is {len(self._inbox)} frames behind")
        if self._session.why_closed and self._ending is None:
            raise LinkClosed(self._session.why_closed)
        self._wake()

    async def _tick(self) -> None:
        while not self._session.why_closed:
            await self._clock.sleep(self._limits.report_every_s)
            self._session.tick()
            self._wake()

    def _wake(self) -> None:
        if self._inbox:
            self._arrived.ring()
        if self._session.must_speak:
            self._may_speak.ring()

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        """Runs one of the three; whichever ends first ends the link."""
        try:
            await work
        except (LinkClosed, WireError) as end:
            self._session.close(end.message)
        except Exception as broken:
            self._session.close(f"this side of the link failed: {broken!r}")
            self._end(self._finish)
            raise
        self._end(self._finish)

    def _end(self, last_work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._arrived.ring()
        self._may_speak.ring()
        if self._ending is None:
            self._ending = asyncio.create_task(last_work())

    async def _say_goodbye(self) -> None:
        try:
            async with self._clock.deadline(self._limits.report_every_s):
                await self._speaker
                await self._channel.end_writing()
                await self._listener
        except (DeadlineExceeded, LinkClosed):
            pass  # the peer is slow or gone: it will find out by silence
        await self._finish()

    async def _finish(self) -> None:
        tasks = (self._speaker, self._listener, self._ticker)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await self._channel.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
