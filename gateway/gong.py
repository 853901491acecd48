"""Tells who waits for a place that there may be one: nobody has to look again and again."""

from __future__ import annotations

from collections.abc import Callable


class Gong:
    """Rung by whatever may have made a place free."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def tell(self, listener: Callable[[], None]) -> None:
        """Called at each ring from now on."""
        self._listeners.append(listener)

    def ring(self) -> None:
        """Something has changed."""
        for listener in self._listeners:
            listener()
