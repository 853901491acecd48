"""Generates a call's sequences and writes them out, as a stream or whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from gateway.door.call import Call
from gateway.door.call_log import CallNote
from gateway.door.door_parts import DoorParts
from gateway.door.event_frames import EventFrames
from gateway.door.exchange import Exchange
from gateway.door.listener import Listener
from gateway.door.shape import Answer, Shape
from gateway.door.tally import Tally
from gateway.door.timing import TIMING_HEADER, timing_json
from gateway.door.usage import Json, count_usage
from gateway.door.voice import Voice
from protocol.errors import Overloaded
from protocol.stamp import Phase

GRACE_S = 1.0
"""Past the deadline; then the door gives up on a generator that should have."""


class Answerer:
    """One per door: it knows how many sequences are open."""

    def __init__(self, parts: DoorParts) -> None:
        self._parts = parts
        self._encoder = msgspec.json.Encoder()
        self._open = 0

    async def answer(self, exchange: Exchange, call: Call, shape: Shape) -> None:
        """Raises one BatonError, also within a stream; ClientGone; ReaderStalled."""
        voices = [Voice(r, call.transcript(r, self._parts.text.tokenizer)) for r in call.requests]
        write = self._stream if call.ask.stream else self._whole
        note = CallNote(
            id=call.id,
            request_id=exchange.request_id,
            tenant=self._parts.tenant.name,
            sequences=tuple(request.id for request in call.requests),
            received=call.arrival,
        )
        with self._places(len(voices)), self._noted(note, voices):
            async with self._parts.clock.deadline(call.requests[0].timeout_s + GRACE_S):
                await exchange.while_connected(write(exchange, call, shape, voices))

    async def _stream(self, exchange: Exchange, call: Call, shape: Shape, voices: list[Voice]) -> None:
        frames = EventFrames(shape, self._encoder, null_usage=call.ask.include_usage)
        listener, end = self._listener(call, voices), b""
        async with listener.events() as events:
            async for event in events:
                number, pieces = listener.hear(event)
                if voices[number].ending is not None and await listener.silence(number):
                    summary = self._summary(exchange, call, voices, usage=not call.ask.include_usage)
                    end = frames.last(number, pieces, summary)
                elif data := frames.next(number, pieces):
                    await exchange.write(data)
        if call.ask.include_usage:
            usage = count_usage(voices, call.ask.choices).as_json()
            end += frames.event({**shape.empty_chunk(), "usage": usage})
        await exchange.finish(end + b"data: [DONE]\n\n")

    async def _whole(self, exchange: Exchange, call: Call, shape: Shape, voices: list[Voice]) -> None:
        answers = [Answer() for _ in voices]
        listener = self._listener(call, voices)
        async with listener.events() as events:
            async for event in events:
                number, pieces = listener.hear(event)
                for piece in pieces:
                    answers[number].add(piece)
                if voices[number].ending is not None:
                    await listener.silence(number)
        body = shape.whole(answers) | self._summary(exchange, call, voices, usage=True)
        await exchange.answer(200, self._encoder.encode(body))

    def _listener(self, call: Call, voices: list[Voice]) -> Listener:
        parts = self._parts
        return Listener(parts.generator, voices, Tally(parts.metrics, call.arrival), parts.clock)

    def _summary(self, exchange: Exchange, call: Call, voices: list[Voice], *, usage: bool) -> Json:
        """What goes with the end of an answer. OpenAI promises a null usage on every chunk but the
        last when `include_usage` was asked for, and clients add up what they find."""
        summary: Json = {"usage": count_usage(voices, call.ask.choices).as_json() if usage else None}
        if exchange.header(TIMING_HEADER) == "1":
            summary["baton"] = timing_json(call, voices[0])
        return summary

    @contextmanager
    def _noted(self, note: CallNote, voices: list[Voice]) -> Iterator[None]:
        """What the door adds to the time of a sequence: before its generation, and after its last token."""
        clock, metrics = self._parts.clock, self._parts.metrics
        self._parts.calls.begin(note)
        for _ in voices:
            metrics.phase(Phase.DOOR.value, clock.now() - note.received)
        try:
            yield
        finally:
            now = clock.now()
            self._parts.calls.end(note, now)
            for voice in voices:
                if voice.last_s is not None:
                    metrics.phase(Phase.FLUSH.value, now - voice.last_s)

    @contextmanager
    def _places(self, count: int) -> Iterator[None]:
        if self._open + count > self._parts.limits.max_open_requests:
            raise Overloaded("this gateway answers as many requests as it may", retry_after_s=1.0)
        self._open += count
        self._parts.metrics.open_requests.inc(count)
        try:
            yield
        finally:
            self._open -= count
            self._parts.metrics.open_requests.dec(count)
