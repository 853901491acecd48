"""Reliable order over an unreliable channel: go-back-N as a pure state machine.

No I/O and no clock: the owner calls `tick` every Limits.report_every_s, puts `take_outgoing` on
the channel whenever `must_speak`, and gives every envelope that arrives to `receive`.
Each frame is delivered exactly once and in order, or the session closes.
"""

from __future__ import annotations

import math
from collections import deque

from protocol.errors import LinkClosed
from protocol.limits import Limits
from protocol.wire_struct import Struct

ENVELOPE_BYTES = 256 << 10
"""Frames share an envelope up to this size; a longer frame travels alone."""

BACKLOG_FRAMES_OF_FULL_SIZE = 4
"""The replay buffer holds this many frames of Limits.max_frame_bytes at most."""


class Envelope(Struct):
    """Some consecutive frames, or none (a keep-alive), and what the speaker knows of the other way."""

    first: int
    """Number of frames[0]; without frames, of the next frame that will be sent. Counts from 1."""
    ack: int
    """Every frame up to this one has arrived."""
    asked: int
    """How many times the speaker has asked for everything after `ack` again."""
    answered: int
    """How many of the hearer's such questions were answered before this envelope."""
    frames: tuple[bytes, ...]


class LinkSession:
    """One end of a link: what was sent and not confirmed, and what is expected."""

    def __init__(self, limits: Limits) -> None:
        self._max_frames = limits.max_link_backlog
        self._max_bytes = BACKLOG_FRAMES_OF_FULL_SIZE * limits.max_frame_bytes
        self._ack_every = max(1, limits.max_link_backlog // 8)
        self._ticks_allowed = math.ceil(limits.silence_s / limits.report_every_s)
        self._unconfirmed: deque[bytes] = deque()
        self._unconfirmed_bytes = 0
        self._confirmed = 0
        self._cursor = 0
        """Frames of _unconfirmed that are on their way."""
        self._sent = 0
        self._delivered = 0
        self._delivered_since_ack = 0
        self._asked = 0
        self._answered = 0
        self._silent_ticks = 0
        self._stalled_ticks = 0
        self._spoke = False
        self._owes_word = False
        self._why = ""

    @property
    def why_closed(self) -> str:
        """The reason, or nothing while the session lives."""
        return self._why

    @property
    def sent(self) -> int:
        """Number of the last frame that was queued."""
        return self._confirmed + len(self._unconfirmed)

    @property
    def confirmed(self) -> int:
        """Number of the last frame of which the peer says that it has arrived."""
        return self._confirmed

    @property
    def must_speak(self) -> bool:
        """Whether take_outgoing has something that should not wait."""
        return self._owes_word or self._cursor < len(self._unconfirmed)

    def close(self, why: str) -> None:
        """Ends the session; the first reason stays."""
        self._why = self._why or why

    def send(self, frame: bytes) -> None:
        """Queues one frame. Raises LinkClosed if closed, or if the peer confirms too slowly."""
        if self._why:
            raise LinkClosed(self._why)
        frames, size = len(self._unconfirmed) + 1, self._unconfirmed_bytes + len(frame)
        if frames > self._max_frames or size > self._max_bytes:
            self.close(f"the peer is {frames} frames, {size} bytes behind")
            raise LinkClosed(self._why)
        self._unconfirmed.append(frame)
        self._unconfirmed_bytes = size

    def tick(self) -> None:
        """Limits.report_every_s have passed. Closes after silence; else asks for a keep-alive.

        Silence is counted in ticks, so that a stall of this process is not taken for the peer's.
        """
        self._silent_ticks += 1
        self._stalled_ticks = self._stalled_ticks + 1 if self._unconfirmed else 0
        if self._silent_ticks > self._ticks_allowed:
            self.close("the peer has fallen silent")
        if self._stalled_ticks > self._ticks_allowed:
            self.close("the peer speaks but confirms nothing")
        if not self._spoke:
            self._owes_word = True
        self._spoke = False

    def receive(self, envelope: Envelope) -> tuple[bytes, ...]:
        """The frames that are next in order; often all of the envelope, often none."""
        if self._why:
            return ()
        self._silent_ticks = 0
        self._confirm(envelope.ack)
        self._answer(envelope.asked)
        return self._accept(envelope)

    def take_outgoing(self) -> list[Envelope]:
        """What to put on the channel now: everything not yet sent, or a keep-alive if one is due.

        A closed session still gives out what was queued before, for a polite end.
        """
        outgoing = []
        while self.must_speak:
            outgoing.append(self._next_envelope())
        return outgoing

    def _next_envelope(self) -> Envelope:
        first = self._confirmed + self._cursor + 1
        frames: list[bytes] = []
        size = 0
        while self._cursor < len(self._unconfirmed):
            frame = self._unconfirmed[self._cursor]
            size += len(frame)
            if frames and size > ENVELOPE_BYTES:
                break
            frames.append(frame)
            self._cursor += 1
        self._sent = max(self._sent, self._confirmed + self._cursor)
        self._owes_word = False
        self._spoke = True
        self._delivered_since_ack = 0
        return Envelope(first, self._delivered, self._asked, self._answered, tuple(frames))

    def _confirm(self, ack: int) -> None:
        if ack > self._sent:
            self.close("the peer confirms frames that were never sent")
            return
        while self._confirmed < ack:
            self._stalled_ticks = 0
            self._unconfirmed_bytes -= len(self._unconfirmed.popleft())
            self._confirmed += 1
            self._cursor = max(0, self._cursor - 1)

    def _answer(self, asked: int) -> None:
        if asked > self._answered:
            self._answered = asked
            self._cursor = 0
            self._owes_word = True

    def _accept(self, envelope: Envelope) -> tuple[bytes, ...]:
        skipped = self._delivered + 1 - envelope.first
        if skipped < 0:
            self._ask(envelope.answered)
            return ()
        fresh = envelope.frames[skipped:]
        self._delivered += len(fresh)
        self._delivered_since_ack += len(fresh)
        if self._delivered_since_ack >= self._ack_every:
            self._owes_word = True
        return fresh

    def _ask(self, answered: int) -> None:
        # A gap in an envelope from before the last answer says nothing new.
        if answered >= self._asked:
            self._asked += 1
            self._owes_word = True
