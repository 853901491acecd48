"""Hears all voices of one call: what they say as text, and as figures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from gateway.door.chorus import Chorus, Events
from gateway.door.tally import Tally
from gateway.door.voice import Voice
from gateway.generator import Generator, TokenEvent
from gateway.text.transcript import Piece
from protocol.clock import Clock
from protocol.errors import BatonError


class Listener:
    """Of one call, from its first event to its last."""

    def __init__(self, generator: Generator, voices: Sequence[Voice], tally: Tally, clock: Clock) -> None:
        self._voices = voices
        self._tally = tally
        self._clock = clock
        self._chorus = Chorus([generator.generate(voice.request) for voice in voices])

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Events]:
        """Those of all voices, each to be given to `hear`. Closes all generations at its end.
        Raises BatonError if they ended without saying why."""
        reason = "cancelled"
        try:
            async with aclosing(self._chorus.events()) as events:
                yield events
            if not all(voice.ending for voice in self._voices):
                raise BatonError("the generation ended without saying why")
        except BatonError as error:
            reason = error.code
            raise
        finally:
            self._tally.broken(self._voices, reason, self._clock.now())

    def hear(self, event: TokenEvent) -> tuple[int, list[Piece]]:
        """Number of a voice, and what its event adds, token by token. A voice with an ending is to be
        silenced."""
        number, now = self._chorus.number, self._clock.now()
        voice = self._voices[number]
        previous_s, before = voice.last_s, voice.completion_tokens
        pieces = voice.hear(event, now)
        self._tally.tokens(voice.completion_tokens - before, previous_s, now)
        if voice.ending is not None:
            self._tally.ended(voice, voice.ending.value, now)
        return number, pieces

    async def silence(self, number: int) -> bool:
        """Closes a generation whose text has ended. Whether all have."""
        await self._chorus.silence(number)
        return all(voice.ending for voice in self._voices)
