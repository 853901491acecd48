"""Whose step is next: a sequence that shares no step gets every second one to itself."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq

from engine.sequence import Sequence

Turn = tuple[Seq[Sequence], Seq[Sequence]]
"""Running and waiting sequences that may share a step."""


class Turns:
    """Remembers who had the last step."""

    def __init__(self, max_running: int) -> None:
        self._max_running = max_running
        self._alone_is_next = False

    def next(self, running: Seq[Sequence], waiting: Seq[Sequence]) -> Iterator[Turn]:
        """Turns in the order in which they are to be tried. Almost always there is one, with everybody.

        A sequence that is alone holds blocks for all of its tokens, and is over at its first token, so
        the others never wait for it for long, nor it for them.
        """
        alone = self._alone(running, waiting)
        if alone is None:
            yield running, waiting
            return
        places = max(0, self._max_running - len(running))  # whoever is alone takes one as well
        others: Turn = ([s for s in running if not s.alone], [s for s in waiting if not s.alone][:places])
        turns = (alone, others) if self._alone_is_next else (others, alone)
        self._alone_is_next = not self._alone_is_next
        yield from turns

    def _alone(self, running: Seq[Sequence], waiting: Seq[Sequence]) -> Turn | None:
        """One at a time: whoever runs already, else the first that waits."""
        runs = next((s for s in running if s.alone), None)
        if runs is not None:
            return (runs,), ()
        waits = next((s for s in waiting if s.alone), None)
        if waits is None:
            return None
        return (), ((waits,) if len(running) < self._max_running else ())
