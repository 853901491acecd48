"""Several generations as one stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from gateway.generator import TokenEvent

Events = AsyncGenerator[TokenEvent, None]
Arrival = tuple[int, TokenEvent | Exception | None]
"""Number of a voice; its event, its failure, or None at its end."""

BACKLOG = 64
"""Events that wait for a slow reader before the generations have to wait too."""


class Chorus:
    """Merges the events of `voices` in the order in which they come."""

    def __init__(self, voices: Sequence[Events]) -> None:
        self._voices = voices
        self._arrived: asyncio.Queue[Arrival] = asyncio.Queue(BACKLOG)
        self._pumps: list[asyncio.Task[None]] = []
        self._singing = [True] * len(voices)
        self.number = 0
        """Of the voice whose event came last."""

    def events(self) -> Events:
        """Events until all voices have ended; `number` says whose. Raises what the first to fail raised.
        Closing it closes every voice before it returns."""
        return self._voices[0] if len(self._voices) == 1 else self._choir()

    async def silence(self, number: int) -> None:
        """Closes one voice; nothing more comes from it. To be called between two events."""
        self._singing[number] = False
        if self._pumps:
            self._pumps[number].cancel()
        else:
            await self._voices[number].aclose()

    async def _choir(self) -> Events:
        self._pumps = [asyncio.ensure_future(self._pump(number)) for number in range(len(self._voices))]
        try:
            while any(self._singing):
                number, event = await self._arrived.get()
                if not self._singing[number]:
                    continue
                if isinstance(event, Exception):
                    raise event
                if event is None:
                    self._singing[number] = False
                else:
                    self.number = number
                    yield event
        finally:
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(self, number: int) -> None:
        end: Exception | None = None
        try:
            async with aclosing(self._voices[number]) as voice:
                async for event in voice:
                    await self._arrived.put((number, event))
        except Exception as failure:
            end = failure
        await self._arrived.put((number, end))
