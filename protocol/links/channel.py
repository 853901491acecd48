"""What a link stands on: byte strings to one peer, with no promise but an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol


class Channel(Protocol):
    """Carries whole byte strings; may lose, double or reorder them. TCP's does not, memory's may."""

    async def write(self, data: bytes) -> None:
        """Hands `data` over, waiting while the peer is slow. Raises LinkClosed if it ended."""
        ...

    async def listen(self, hear: Callable[[bytes], None]) -> NoReturn:
        """Gives everything that arrives to `hear`, in the order of arrival. Raises LinkClosed when the
        peer ended its side or is gone, and what `hear` raises. Called once."""
        ...

    async def end_writing(self) -> None:
        """Tells the peer that nothing more will come. The other direction stays open."""
        ...

    async def close(self) -> None:
        """Gives up both directions and everything that is held. Doing it twice is harmless."""
        ...
